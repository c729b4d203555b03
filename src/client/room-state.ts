// Setting the state of a room. Specification: client-server API, PUT /rooms/{roomId}/state/{eventType}/{stateKey}.

import { writeToRoom } from '../federation/write-to-room.ts'
import { refuseNoticeRejection } from '../admin/server-notices.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonObject } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { refuseSuspended, requireSession } from '../http/session.ts'
import type { EventId, RoomId } from '../matrix/event.ts'
import { type JsonObject, property } from '../matrix/json.ts'
import { checkCanonicalAlias } from './canonical-alias.ts'
import { changeOthersMembership, changeOwnMembership, inviteUser } from './change-membership.ts'
import { delayParam, scheduleDelayed } from './delayed-events.ts'
import { removeGuests } from './remove-guests.ts'
import { roomParam } from './own-user.ts'
import { checkedUserId, textParam } from './path-params.ts'
import { timestampParam } from './timestamp-param.ts'

/** The three forms of PUT …/state/{eventType}[/[{stateKey}]]. */
export function roomStateRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey
  const session = requireSession({ guests: true })
  app.put('/_matrix/client/v3/rooms/:roomId/state/:eventType', session, (c) => putState(c))
  app.put('/_matrix/client/v3/rooms/:roomId/state/:eventType/', session, (c) => putState(c))
  app.put('/_matrix/client/v3/rooms/:roomId/state/:eventType/:stateKey', session, (c) => putState(c))
}

async function putState(c: AppContext): Promise<Response> {
  const roomId = roomParam(c)
  const type = textParam(c, 'eventType')
  const stateKey = textParam(c, 'stateKey')
  const content = await jsonObject(c)
  const delay = delayParam(c)
  if (delay !== undefined) return await scheduleDelayed(c, { type, stateKey, content }, delay)
  await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
  const eventId =
    type === 'm.room.member'
      ? await putMember(c, roomId, stateKey, content)
      : await putOther(c, roomId, { type, state_key: stateKey, content, ...timestampParam(c) })
  return c.json({ event_id: eventId })
}

const memberships = ['join', 'knock', 'leave', 'invite', 'ban'] as const

interface StateDraft {
  readonly type: string
  readonly state_key: string
  readonly content: JsonObject
  readonly origin_server_ts?: number
}

async function putOther(c: AppContext, roomId: RoomId, draft: StateDraft): Promise<EventId> {
  const { userId: sender, admin, suspended } = c.var.session
  refuseSuspended(c.var.session)
  const { type, content } = draft
  if (type === 'm.room.canonical_alias' && draft.state_key === '') {
    await checkCanonicalAlias(c.env, roomId, sender, content)
  }
  const eventId = await writeToRoom(c.env, roomId, (room) =>
    room.sendEvent({ draft: { ...draft, sender }, admin, suspended }),
  )
  if (
    type === 'm.room.guest_access' &&
    draft.state_key === '' &&
    property(content, 'guest_access') !== 'can_join'
  ) {
    await removeGuests(c, roomId)
  }
  return eventId
}

/** A member event is what the membership endpoints make, with content of the client's choice. */
async function putMember(
  c: AppContext,
  roomId: RoomId,
  stateKey: string,
  event: JsonObject,
): Promise<EventId> {
  const { membership: _, ...content } = event
  const membership = memberships.find((known) => known === property(event, 'membership'))
  const target = checkedUserId('stateKey', stateKey)
  const { userId: sender } = c.var.session
  const time = timestampParam(c)
  const own = target === sender
  // Suspended users may leave, and nothing else.
  if (!own || membership !== 'leave') refuseSuspended(c.var.session)
  if (membership === undefined) {
    throw new MatrixError('M_BAD_JSON', 400, `membership must be one of ${memberships.join(', ')}`)
  }
  if (membership === 'invite') return await inviteUser(c.env, { roomId, sender, target, content, ...time })
  if (membership === 'ban') return await changeOthersMembership(c, roomId, 'ban', target, content, time)
  if (own && membership === 'leave') await refuseNoticeRejection(c.env, c.var.session, roomId)
  if (own) return await changeOwnMembership(c, roomId, membership, content, time)
  // Ending the membership of somebody else is kicking them, or lifting a ban.
  if (membership === 'leave') return await changeOthersMembership(c, roomId, 'remove', target, content, time)
  throw new MatrixError('M_FORBIDDEN', 403, `Nobody can ${membership} on behalf of another user`)
}
