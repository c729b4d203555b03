// Events to be sent later, which can be restarted, cancelled or sent before: calls end by them when a client is gone.
// Not in the specification yet: MSC4140, with the query parameter of its first form, which is what clients use.

import { writeTo } from '../federation/write-to-room.ts'
import * as v from 'valibot'
import { refuseNoticeRejection } from '../admin/server-notices.ts'
import { type Env, hubStub, roomStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { checked, jsonBody, jsonObject } from '../http/json-body.ts'
import { rateLimit, rateLimitUser } from '../http/rate-limit.ts'
import { refuseSuspended, requireSession } from '../http/session.ts'
import type { DelayedRoom } from '../hub/delayed-rooms.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { property } from '../matrix/json.ts'
import type { DelayRequest } from '../room/delayed-events.ts'
import type { DelayedAction } from '../room/send-delayed.ts'
import type { Room } from '../room/room.ts'
import { newSecretToken } from '../storage/secret-token.ts'
import { checkCanonicalAlias } from './canonical-alias.ts'
import { roomParam } from './own-user.ts'
import { clientTransaction } from './client-transaction.ts'
import { textParam } from './path-params.ts'
import { timestampParam } from './timestamp-param.ts'

/** The longest delay in milliseconds, and how many events a user may have scheduled: all their rooms are asked in one request. */
const delayLimits = { maxDelay: 86_400_000, maxScheduled: 40 }

const base = '/_matrix/client/unstable/org.matrix.msc4140'
const actions: readonly DelayedAction[] = ['cancel', 'restart', 'send']

const delaySchema = v.pipe(v.number(), v.safeInteger(), v.minValue(1))
const scheduleBody = v.looseObject({
  delay_ms: v.optional(delaySchema),
  delay: v.optional(delaySchema),
  state_key: v.optional(v.string()),
})
const actionBody = v.looseObject({ action: v.picklist(actions) })

/** Scheduling, listing and changing delayed events. */
export function delayedEventRoutes(app: App): void {
  app.put(
    `${base}/rooms/:roomId/delayed_event/:eventType/:txnId`,
    requireSession({ guests: true }),
    async (c) => {
      const body = await jsonObject(c)
      const {
        delay_ms: delayMs,
        delay = delayMs,
        state_key: stateKey,
      } = checked(scheduleBody, body, 'M_BAD_JSON')
      const content = property(body, 'content')
      if (delay === undefined) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: delay_ms')
      if (typeof content !== 'object' || content === null || Array.isArray(content)) {
        throw new MatrixError('M_BAD_JSON', 400, 'Invalid field content: not an object')
      }
      const type = textParam(c, 'eventType')
      const event = { type, content, ...(stateKey === undefined ? {} : { stateKey }) }
      return await scheduleDelayed(c, event, delay, `delayed_event/${type}`)
    },
  )

  app.get(`${base}/delayed_events`, requireSession({ guests: true }), async (c) => {
    const { userId, shard } = c.var.session
    await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
    const hub = hubStub(c.env, shard)
    const rooms = await hub.delayedRooms(userId)
    const lists = await Promise.all(
      rooms.map(({ roomId }) => roomStub(c.env, roomId).delayedEventsOf(userId)),
    )
    await forgetEmpty(
      c.env,
      { userId, shard },
      rooms,
      lists.map(({ length }) => length),
    )
    return c.body(`{"delayed_events":[${lists.flat().join()}]}`, 200, { 'Content-Type': 'application/json' })
  })

  app.get(`${base}/delayed_events/:delayId`, requireSession({ guests: true }), async (c) => {
    const { userId } = c.var.session
    await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
    const delayId = textParam(c, 'delayId')
    const text = await roomOfDelay(c.env, delayId).readDelayed(userId, delayId)
    return c.body(text, 200, { 'Content-Type': 'application/json' })
  })

  // Without a session: who was told the id, such as the server of a call, may act for the sender.
  app.post(`${base}/delayed_events/:delayId/:action`, async (c) => {
    const action = actions.find((known) => known === textParam(c, 'action'))
    if (!action) throw new MatrixError('M_UNRECOGNIZED', 404, 'There is no such action')
    return await change(c, action)
  })

  // The form before that.
  app.post(`${base}/delayed_events/:delayId`, async (c) => {
    const { action } = await jsonBody(c, actionBody)
    return await change(c, action)
  })
}

async function change(c: AppContext, action: DelayedAction): Promise<Response> {
  const delayId = textParam(c, 'delayId')
  const room = roomOfDelay(c.env, delayId)
  await rateLimit(c.env, c.env.SEND_LIMIT, delayId)
  await writeTo(c.env, room, (writable) => writable.changeDelayed(delayId, action))
  return c.json({})
}

/** The delay that a request to send an event asks for, undefined for one to be sent now. M_INVALID_PARAM. */
export function delayParam(c: AppContext): number | undefined {
  const text = c.req.query('org.matrix.msc4140.delay')
  if (text === undefined) return undefined
  if (!/^[1-9]\d{0,14}$/.test(text)) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'org.matrix.msc4140.delay is not a number of milliseconds')
  }
  return Number(text)
}

/** The event of a request with a delay. */
export type DelayedDraft = Pick<DelayRequest, 'type' | 'stateKey' | 'content'>

/** Schedules an event and answers with its delay id. `path` is set where the path of the request ends with a transaction id. */
export async function scheduleDelayed(
  c: AppContext,
  event: DelayedDraft,
  delay: number,
  path?: string,
): Promise<Response> {
  refuseSuspended(c.var.session)
  const { userId, shard } = c.var.session
  const { maxDelay, maxScheduled } = delayLimits
  if (delay > maxDelay) {
    throw new MatrixError('ORG.MATRIX.MSC4140_MAX_DELAY_EXCEEDED', 400, 'The delay is too long', {
      'org.matrix.msc4140.max_delay': maxDelay,
    })
  }
  if (timestampParam(c).origin_server_ts !== undefined) {
    throw new MatrixError(
      'M_INVALID_PARAM',
      400,
      'Invalid parameter ts: delayed events have the time they are sent at',
    )
  }
  const roomId = roomParam(c)
  await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
  await checkDelayable(c, roomId, event)
  const noted = await hubStub(c.env, shard).noteDelayedRoom(userId, roomId)
  const elsewhere = await countElsewhere(
    c.env,
    { userId, shard },
    noted.filter((room) => room.roomId !== roomId),
  )
  const delayId = await roomStub(c.env, roomId).scheduleDelayed({
    ...event,
    delayId: newDelayId(c.env, roomId),
    sender: userId,
    delay,
    ...(path === undefined ? {} : { transaction: clientTransaction(c, path) }),
    most: Math.max(0, maxScheduled - elsewhere),
  })
  return c.json({ delay_id: delayId })
}

// What needs more than the room to be done right when it is sent.
async function checkDelayable(c: AppContext, roomId: RoomId, event: DelayedDraft): Promise<void> {
  const { type, stateKey, content } = event
  if (stateKey === undefined) return
  const { userId } = c.var.session
  if (type === 'm.room.canonical_alias' && stateKey === '') {
    await checkCanonicalAlias(c.env, roomId, userId, content)
  }
  if (type === 'm.room.guest_access') throw notDelayable('The access of guests')
  if (type !== 'm.room.member') return
  const membership = property(content, 'membership')
  if (membership !== 'leave' && membership !== 'ban')
    throw notDelayable('A membership other than leave and ban')
  if (stateKey === userId) await refuseNoticeRejection(c.env, c.var.session, roomId)
}

function notDelayable(what: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `${what} cannot be set by a delayed event`)
}

async function countElsewhere(
  env: Env,
  user: { readonly userId: UserId; readonly shard: number },
  rooms: readonly DelayedRoom[],
): Promise<number> {
  const counts = await Promise.all(rooms.map(({ roomId }) => roomStub(env, roomId).countDelayed(user.userId)))
  await forgetEmpty(env, user, rooms, counts)
  return counts.reduce((sum, count) => sum + count, 0)
}

async function forgetEmpty(
  env: Env,
  { userId, shard }: { readonly userId: UserId; readonly shard: number },
  rooms: readonly DelayedRoom[],
  counts: readonly number[],
): Promise<void> {
  const empty = rooms.filter((_, n) => counts[n] === 0)
  if (empty.length > 0) await hubStub(env, shard).forgetDelayedRooms(userId, empty)
}

// The id says which room has the event, without naming it: nothing need be looked up.
function newDelayId(env: Env, roomId: RoomId): string {
  return `${env.ROOM.idFromName(roomId).toString()}.${newSecretToken()}`
}

const delayIdShape = /^([0-9a-f]{64})\.[A-Za-z0-9_-]{43}$/

function roomOfDelay(env: Env, delayId: string): DurableObjectStub<Room> {
  const id = delayIdShape.exec(delayId)?.[1]
  try {
    if (id !== undefined) return env.ROOM.get(env.ROOM.idFromString(id))
  } catch (error) {
    // Not an id that this server has given out.
    if (!(error instanceof TypeError)) throw error
  }
  throw new MatrixError('M_NOT_FOUND', 404, 'There is no such delayed event')
}
