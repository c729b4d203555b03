// Simplified sliding sync, in the accepted form and in the one that clients have used while it was a proposal. The Worker
// holds the poll and its timer and puts the answer together. Specification: MSC4186.

import * as v from 'valibot'
import { config } from '../config.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonObject, queryParams } from '../http/json-body.ts'
import { clientAddress } from '../http/rate-limit.ts'
import { confirmSession, deviceOf, requireSession } from '../http/session.ts'
import { formatSlidingPosition, parseSlidingPosition } from '../hub/sliding-sync-position.ts'
import type { SlidingSyncRequest } from '../hub/sliding-sync-request.ts'
import type { SlidingPlan } from '../hub/sliding-sync.ts'
import { tellsAnything } from '../hub/sliding-sync-extensions.ts'
import { pollHub } from './poll-hub.ts'
import { renderExtensions, renderSlidingRooms, type SlidingForm } from './sliding-sync-render.ts'
import { acceptedBody, acceptedWishes, deployedBody, deployedWishes } from './sliding-sync-request.ts'

// As in v3: longer polls gain nothing.
const longestTimeout = 120_000
const droppedPauseMs = 50

const presenceStates = ['offline', 'online', 'unavailable'] as const
const deployedQuery = v.object({
  pos: v.optional(v.string()),
  timeout: v.optional(v.pipe(v.string(), v.digits(), v.transform(Number))),
  set_presence: v.optional(v.picklist(presenceStates)),
})

export function slidingSyncRoutes(app: App): void {
  // https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md#api
  app.post('/_matrix/client/v4/sync', requireSession({ guests: true }), async (c) => {
    const body = acceptedBody(await jsonObject(c, { optional: true }))
    const request: SlidingSyncRequest = {
      ...requestHead(c, body.pos, body.conn_id, body.set_presence),
      ...acceptedWishes(body),
    }
    return answer(c, await slidingSync(c, 'accepted', request, body.timeout ?? 0))
  })

  // https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md#unstable-prefix
  app.post(
    '/_matrix/client/unstable/org.matrix.simplified_msc3575/sync',
    requireSession({ guests: true }),
    async (c) => {
      const query = queryParams(c, deployedQuery)
      const body = deployedBody(await jsonObject(c, { optional: true }))
      const request: SlidingSyncRequest = {
        ...requestHead(c, query.pos ?? body.pos, body.conn_id, query.set_presence),
        ...deployedWishes(body, c.var.session.userId),
      }
      const text = await slidingSync(c, 'deployed', request, query.timeout ?? 0)
      return answer(c, body.txn_id ? `{"txn_id":${JSON.stringify(body.txn_id)},${text.slice(1)}` : text)
    },
  )
}

function answer(c: AppContext, text: string): Response {
  return c.body(text, 200, { 'Content-Type': 'application/json' })
}

// A sync without `set_presence` makes its user online.
function requestHead(
  c: AppContext,
  pos: string | null | undefined,
  connId: string | null | undefined,
  setPresence: (typeof presenceStates)[number] | null | undefined,
) {
  const { session } = c.var
  const presence = setPresence ?? 'online'
  const ip = clientAddress(c)
  return {
    sliding: true,
    userId: session.userId,
    // Connections are those of devices.
    ...deviceOf(session),
    connId: connId ?? '',
    ...(ip === undefined ? {} : { ip }),
    ...(typeof pos === 'string' ? { pos: positionOf(pos) } : {}),
    ...(presence === 'offline' || !config(c.env).presence ? {} : { setPresence: presence }),
  } as const
}

function positionOf(token: string) {
  const position = parseSlidingPosition(token)
  if (!position) throw new MatrixError('M_UNKNOWN_POS', 400, 'pos is not a position of this server')
  return position
}

/** Answers as soon as there is something to tell, or when the time is up. Milliseconds. */
async function slidingSync(
  c: AppContext,
  form: SlidingForm,
  given: SlidingSyncRequest,
  timeout: number,
): Promise<string> {
  const { env } = c
  const { shard } = c.var.session
  const deadline = Date.now() + Math.min(timeout, longestTimeout)
  const held = given.pos ? { held: given.pos.state } : {}
  let request = given
  let last: SlidingPlan | undefined
  let superseded = false
  for (;;) {
    const plan = await pollHub<'sliding'>(env, shard, request, request.pos ? deadline - Date.now() : 0, {
      onIdle: (idle) => (last = idle),
      onKeyCounts: (keyCounts) => (last = last && { ...last, keyCounts }),
      onSuperseded: () => (superseded = true),
    })
    const rooms = plan && (await renderSlidingRooms(env, form, request, plan))
    last = plan ?? last
    const tells = rooms?.content || (plan && tellsAnything(plan.extensions))
    if (tells || !request.pos || superseded || deadline - Date.now() <= 0) {
      return render(request, last, rooms?.text ?? '')
    }
    // A socket that was dropped is not opened again at once, nor for somebody who was locked out.
    if (!plan) {
      await scheduler.wait(Math.min(droppedPauseMs, Math.max(0, deadline - Date.now())))
      await confirmSession(c)
    }
    // News that render to nothing are no reason to answer: wait on from behind them, as the client will not know.
    request = { ...request, pos: last?.next ?? request.pos, ...held }
  }
}

function render(request: SlidingSyncRequest, plan: SlidingPlan | undefined, rooms: string): string {
  const position = plan?.next ?? request.pos
  // Without either there was no answer of the Hub, and this is not reached.
  const pos = position ? formatSlidingPosition(position) : ''
  const lists = Object.entries(plan?.counts ?? {}).map(([name, count]) => [name, { count }])
  const extensions = renderExtensions(request, plan?.extensions ?? {}, plan?.keyCounts)
  return `{"pos":"${pos}","lists":${JSON.stringify(Object.fromEntries(lists))},"rooms":{${rooms}},"extensions":${extensions}}`
}
