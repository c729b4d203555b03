// GET /_matrix/client/v3/sync: the Worker holds the poll and its timer and puts the answer together.
// Specification: client-server API, "Syncing".

import * as v from 'valibot'
import { config } from '../config.ts'
import { hubStub, type Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { clientAddress } from '../http/rate-limit.ts'
import { confirmSession, requireSession } from '../http/session.ts'
import type { KeyCounts } from '../hub/one-time-keys.ts'
import type { SyncPosition, SyncRequest } from '../hub/sync-request.ts'
import { formatSyncToken, parseSyncToken } from '../hub/sync-token.ts'
import { type Filter, FilterError, parseFilter } from '../matrix/filter.ts'
import type { StateSection } from '../room/sync-room.ts'
import { pollHub } from './poll-hub.ts'
import { renderKeyCounts, renderSync, type SyncView } from './sync-render.ts'

// Longer polls gain nothing and are cut by networks on the way.
const longestTimeout = 120_000
const droppedPauseMs = 50

const flag = v.optional(v.picklist(['true', 'false']))
const querySchema = v.object({
  since: v.optional(v.string()),
  timeout: v.optional(v.pipe(v.string(), v.digits(), v.transform(Number))),
  filter: v.optional(v.string()),
  full_state: flag,
  use_state_after: flag,
  'org.matrix.msc4222.use_state_after': flag,
  set_presence: v.optional(v.picklist(['offline', 'online', 'unavailable'])),
})

export function syncRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync
  app.get('/_matrix/client/v3/sync', requireSession({ guests: true }), async (c) => {
    const query = queryParams(c, querySchema)
    const view = await syncView(c, query)
    const ip = clientAddress(c)
    const body = await sync(c, view, {
      ...(query.since === undefined ? {} : { since: sinceOf(query.since) }),
      fullState: query.full_state === 'true',
      timeout: Math.min(query.timeout ?? 0, longestTimeout),
      ...presenceToSet(c.env, query.set_presence),
      ...(ip === undefined ? {} : { ip }),
    })
    return c.body(body, 200, { 'Content-Type': 'application/json' })
  })
}

// A sync without the parameter makes its user online.
function presenceToSet(
  env: Env,
  state: 'offline' | 'online' | 'unavailable' = 'online',
): Pick<SyncRequest, 'setPresence'> {
  return state === 'offline' || !config(env).presence ? {} : { setPresence: state }
}

function sinceOf(token: string): SyncPosition {
  const position = parseSyncToken(token)
  if (!position) throw new MatrixError('M_INVALID_PARAM', 400, 'since is not a token of this server')
  return position
}

async function syncView(c: AppContext, query: v.InferOutput<typeof querySchema>): Promise<SyncView> {
  return {
    userId: c.var.session.userId,
    deviceId: c.var.session.device?.deviceId,
    filter: await filterOf(c, query.filter),
    incremental: query.since !== undefined,
    fullState: query.full_state === 'true',
    stateSection: stateSection(query),
  }
}

// MSC4222, under its name and the one that it had before.
function stateSection(query: v.InferOutput<typeof querySchema>): StateSection {
  if (query.use_state_after === 'true') return 'state_after'
  return query['org.matrix.msc4222.use_state_after'] === 'true' ? 'org.matrix.msc4222.state_after' : 'state'
}

// A filter is given as JSON, or by the id it was stored under.
async function filterOf(c: AppContext, filter: string | undefined): Promise<Filter> {
  if (filter === undefined) return {}
  const { userId, shard } = c.var.session
  const text = filter.startsWith('{') ? filter : await hubStub(c.env, shard).getFilter(userId, filter)
  if (text === undefined) throw new MatrixError('M_INVALID_PARAM', 400, 'filter is not a known filter id')
  try {
    return parseFilter(JSON.parse(text))
  } catch (error) {
    if (error instanceof FilterError) {
      throw new MatrixError('M_INVALID_PARAM', 400, `filter.${error.field}: ${error.message}`)
    }
    throw new MatrixError('M_NOT_JSON', 400, 'filter is not JSON')
  }
}

interface SyncOptions extends Pick<SyncRequest, 'setPresence' | 'ip'> {
  readonly since?: SyncPosition
  readonly fullState: boolean
  /** Milliseconds. */
  readonly timeout: number
}

/** Answers as soon as there is something that the filter lets through, or when the time is up. */
async function sync(c: AppContext, view: SyncView, options: SyncOptions): Promise<string> {
  const { env } = c
  const { session } = c.var
  const deadline = Date.now() + options.timeout
  let { since } = options
  let keyCounts: KeyCounts | undefined
  for (;;) {
    const request: SyncRequest = {
      userId: session.userId,
      ...session.device,
      ...(since ? { since } : {}),
      fullState: options.fullState,
      includeLeave: view.filter.room?.include_leave ?? false,
      ...(options.setPresence ? { setPresence: options.setPresence } : {}),
      ...(options.ip === undefined ? {} : { ip: options.ip }),
    }
    const remaining = since && !options.fullState ? deadline - Date.now() : 0
    const plan = await pollHub<'v3'>(env, session.shard, request, remaining, {
      onKeyCounts: (counts) => (keyCounts = counts),
      onMoved: (position) => (since = position),
    })
    keyCounts = plan?.keyCounts ?? keyCounts
    const next = formatSyncToken(plan?.next ?? since ?? { log: 0, ephemeral: 0 })
    const body = plan && !plan.idle ? await renderSync(env, view, plan) : undefined
    if (body?.content || !since || options.fullState || deadline - Date.now() <= 0) {
      return `{"next_batch":"${next}"${body?.text ?? ''}${keyCounts ? renderKeyCounts(keyCounts) : ''}}`
    }
    // A socket that was dropped is not opened again at once, nor for somebody who was locked out.
    if (!plan) {
      await scheduler.wait(Math.min(droppedPauseMs, Math.max(0, deadline - Date.now())))
      await confirmSession(c)
    }
    // News that render to nothing are no reason to answer: wait on from behind them.
    since = plan?.next ?? since
  }
}
