// The event stream of before /sync: deprecated for all rooms of a user, the way to follow a room that one is not in.
// Specification: client-server API, "Syncing" (deprecated GET /events), "Room Previews".

import * as v from 'valibot'
import { hubStub, roomStub, type Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { confirmSession, requireSession } from '../http/session.ts'
import type { SyncPlan } from '../hub/sync.ts'
import type { SyncPosition } from '../hub/sync-request.ts'
import { formatSyncToken, parseSyncToken } from '../hub/sync-token.ts'
import type { RoomId } from '../matrix/event.ts'
import { parseRoomId } from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import { formatToken } from '../room/tokens.ts'
import { pollHub } from './poll-hub.ts'
import { countParam, positionOf, readerOf, refuseForgotten } from './room-read.ts'
import { inRoom, parseSync } from './sync-body.ts'
import { renderSync, type SyncView } from './sync-render.ts'

const defaultTimeout = 30_000
// As in /sync.
const longestTimeout = 120_000
const droppedPauseMs = 50
// Nobody wakes those who are not in the room.
const peekIntervalMs = 3000
const mostEvents = 100
// Later than any position: nothing is new, and the answer says where the log ends.
const beyond: SyncPosition = { log: Number.MAX_SAFE_INTEGER, ephemeral: Number.MAX_SAFE_INTEGER }

const querySchema = v.object({
  from: v.optional(v.string()),
  timeout: countParam,
  room_id: v.optional(v.string()),
})

/** GET /events, of all rooms or of one. */
export function eventStreamRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3events
  // https://spec.matrix.org/v1.19/client-server-api/#peeking_get_matrixclientv3events
  app.get('/_matrix/client/v3/events', requireSession({ guests: true }), async (c) => {
    const { from, timeout = defaultTimeout, room_id: roomText } = queryParams(c, querySchema)
    const deadline = Date.now() + Math.min(timeout, longestTimeout)
    if (roomText !== undefined) {
      const roomId = parseRoomId(roomText)
      if (!roomId) throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter room_id: not a room id')
      return c.json(await eventsOfRoom(c, roomId, from, deadline))
    }
    // Guests have this for room previews alone.
    if (c.var.session.guest) {
      throw new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 403, 'Guests may follow a single room only: room_id')
    }
    return c.json(await eventsOfAll(c, from, deadline))
  })
}

interface EventChunk {
  readonly start: string
  readonly end: string
  readonly chunk: readonly JsonObject[]
}

async function eventsOfAll(c: AppContext, from: string | undefined, deadline: number): Promise<EventChunk> {
  const start = from === undefined ? await now(c) : parseSyncToken(from)
  if (!start) throw new MatrixError('M_INVALID_PARAM', 400, 'from is not a token of this server')
  let since = start
  for (;;) {
    const plan = await nextPlan(c, since, deadline)
    since = plan?.next ?? since
    const chunk = plan ? await chunkOf(c.env, streamView(c), plan) : []
    if (chunk.length > 0 || Date.now() >= deadline) {
      return { start: from ?? formatSyncToken(start), end: formatSyncToken(since), chunk }
    }
    if (!plan) await pauseDropped(c, deadline)
  }
}

// Events alone: none of the other things that /sync tells.
function streamView(c: AppContext): SyncView {
  const { userId, device } = c.var.session
  const none = { types: [] }
  const room = { timeline: { limit: mostEvents }, state: none, ephemeral: none, account_data: none }
  const filter = { room, presence: none, account_data: none }
  return {
    userId,
    deviceId: device?.deviceId,
    filter,
    incremental: true,
    fullState: false,
    stateSection: 'state',
  }
}

async function chunkOf(env: Env, view: SyncView, plan: SyncPlan): Promise<JsonObject[]> {
  const { rooms } = parseSync((await renderSync(env, view, plan)).text)
  const isOwnMember = (event: JsonObject) =>
    event['type'] === 'm.room.member' && event['state_key'] === view.userId
  const fresh = new Set<string>(
    plan.join.filter(({ from }) => from === undefined).map(({ roomId }) => roomId),
  )
  const invites = Object.entries(rooms.invite).flatMap(([roomId, room]) =>
    inRoom(roomId, room.invite_state.events.filter(isOwnMember)),
  )
  const said = [...Object.entries(rooms.join), ...Object.entries(rooms.leave)].flatMap(([roomId, room]) => {
    const { events } = room.timeline
    // What was said before the user came is not news.
    const first = fresh.has(roomId) ? Math.max(0, events.findLastIndex(isOwnMember)) : 0
    return inRoom(roomId, events.slice(first))
  })
  return [...invites, ...said]
}

async function eventsOfRoom(
  c: AppContext,
  roomId: RoomId,
  from: string | undefined,
  deadline: number,
): Promise<EventChunk> {
  const viewer = await readerOf(c)
  let position = from === undefined ? undefined : await positionOf(c, roomId, 'from', from)
  // Before the room is asked: what comes after that wakes.
  let since = await now(c)
  for (;;) {
    const request = { limit: mostEvents, ...(position === undefined ? {} : { from: position }) }
    const answer = await roomStub(c.env, roomId).roomEvents(viewer, request)
    if (answer.left) await refuseForgotten(c, roomId)
    // Written by `roomEvents` alone.
    const { end, chunk, more } = JSON.parse(answer.body) as EventChunk & { readonly more: boolean }
    const start = from ?? (position === undefined ? end : formatToken(position))
    if (chunk.length > 0 || Date.now() >= deadline) return { start, end, chunk }
    position = await positionOf(c, roomId, 'from', end)
    if (!more) since = await newsOfRoom(c, roomId, since, deadline)
  }
}

/** Waits until a room may have news for a user. Returns the position from which to wait on. */
async function newsOfRoom(
  c: AppContext,
  roomId: RoomId,
  since: SyncPosition,
  deadline: number,
): Promise<SyncPosition> {
  const { userId, shard } = c.var.session
  const [joined] = await hubStub(c.env, shard).membershipsIn(userId, [roomId])
  if (joined === undefined) {
    await pause(peekIntervalMs, deadline)
    return since
  }
  let position = since
  while (Date.now() < deadline) {
    const plan = await nextPlan(c, position, deadline)
    position = plan?.next ?? position
    if (plan && [...plan.join, ...plan.leave].some((room) => room.roomId === roomId)) break
    if (!plan) await pauseDropped(c, deadline)
  }
  return position
}

async function nextPlan(c: AppContext, since: SyncPosition, deadline: number): Promise<SyncPlan | undefined> {
  const { userId, device, shard } = c.var.session
  const request = {
    userId,
    ...device,
    since,
    fullState: false,
    includeLeave: false,
    eventsOnly: true,
  }
  return await pollHub<'v3'>(c.env, shard, request, deadline - Date.now(), {})
}

async function now(c: AppContext): Promise<SyncPosition> {
  const plan = await nextPlan(c, beyond, 0)
  return plan?.next ?? { log: 0, ephemeral: 0 }
}

// A socket that was dropped is not opened again at once, nor for somebody who was locked out.
async function pauseDropped(c: AppContext, deadline: number): Promise<void> {
  await pause(droppedPauseMs, deadline)
  await confirmSession(c)
}

async function pause(ms: number, deadline: number): Promise<void> {
  await scheduler.wait(Math.max(0, Math.min(ms, deadline - Date.now())))
}
