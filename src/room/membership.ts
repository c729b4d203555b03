// Joining, leaving, inviting, kicking, banning, knocking: what the endpoints ask beyond the auth rules.
// Specification: client-server API, "Room membership", "Restricted rooms", "Guest Access".

import { isMatrixError, MatrixError } from '../errors.ts'
import type { EventId, RoomId, ServerName, UserId } from '../matrix/event.ts'
import { type JsonObject, stringProperty } from '../matrix/json.ts'
import { transact } from './append.ts'
import { findIdentity, identity, type RoomContext, type Signer } from './context.ts'
import { isCurrent, isResident, otherServers } from './federation-access.ts'
import { registerLocalUser } from './fan-out.ts'
import { authoriseRestrictedJoin, type JoinAuthorisation } from './restricted-join.ts'
import { requireJoined } from './room-power.ts'
import { currentMembership, sendEvent } from './send-event.ts'
import { currentEvent } from './state-at.ts'
import { exchangeThirdPartyInvite } from './third-party-invite.ts'

/**
 * `remove` ends the membership of somebody else, whatever it is: `kick` and `unban` in one. `exchange` makes an invite out of
 * that of a third party, whose sender may be of another server.
 */
export type MembershipAction =
  | 'join'
  | 'knock'
  | 'leave'
  | 'invite'
  | 'exchange'
  | 'kick'
  | 'ban'
  | 'unban'
  | 'remove'

export interface MembershipRequest {
  readonly action: MembershipAction
  readonly sender: UserId
  /** The sender, except where something is done to somebody else. */
  readonly target: UserId
  /** The content of the member event besides `membership`: profile, reason, `is_direct`. */
  readonly content: JsonObject
  /** The Hub shard of a local target. */
  readonly targetShard?: number
  /** Those of the rooms asked about before that the joining user is joined to. */
  readonly memberOf?: readonly RoomId[]
  /** Whether the joining user is a guest of this server. */
  readonly guest?: boolean
  /** Milliseconds; now where absent. */
  readonly origin_server_ts?: number
}

/**
 * The member event; or the rooms whose members may join: then ask again with those the user is joined to; or the servers in
 * the room, as far as known, one of which must help: this one is not in the room, or nobody of it can let the user in.
 */
export type MembershipAnswer =
  | { readonly eventId: EventId }
  | { readonly needsMembership: readonly RoomId[] }
  | { readonly through: readonly ServerName[]; readonly resident: boolean }

const memberships = {
  join: 'join',
  knock: 'knock',
  leave: 'leave',
  invite: 'invite',
  exchange: 'invite',
  kick: 'leave',
  ban: 'ban',
  unban: 'leave',
  remove: 'leave',
} as const satisfies Record<MembershipAction, string>

/** Changes a membership. M_FORBIDDEN where the state of the room does not allow it, M_GUEST_ACCESS_FORBIDDEN. */
export function changeMembership(
  room: RoomContext,
  signer: Signer,
  request: MembershipRequest,
): MembershipAnswer {
  const { action, sender, target } = request
  // Whatever is known of a room that this server has left may be out of date.
  if ((action === 'join' || action === 'knock' || action === 'leave') && !isCurrent(room)) {
    return { through: otherServers(room), resident: false }
  }
  if (action === 'exchange') {
    if (!isResident(room)) return { through: otherServers(room), resident: false }
    return { eventId: exchangeThirdPartyInvite(room, signer, request) }
  }
  identity(room)
  const done = checkPresent(room, request)
  if (done) return { eventId: done }
  if (action === 'join' && request.guest === true && !admitsGuests(room)) {
    throw new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 403, 'Guests may not join this room')
  }
  const join = action === 'join' ? localAuthorisation(room, sender, request.memberOf) : {}
  if ('needsMembership' in join) return join
  if ('unable' in join) return { through: otherServers(room), resident: true }
  const content = { ...withoutAuthorisation(request.content), ...join, membership: memberships[action] }
  const { origin_server_ts: time } = request
  const draft = {
    type: 'm.room.member',
    sender,
    state_key: target,
    content,
    ...(time === undefined ? {} : { origin_server_ts: time }),
  }
  const eventId = transact(room, () => {
    if (request.targetShard !== undefined) registerLocalUser(room, target, request.targetShard)
    return sendEvent(room, signer, { draft })
  })
  return { eventId }
}

// Where no user of this server may invite, another server may be able to let the user in.
function localAuthorisation(
  room: RoomContext,
  sender: UserId,
  memberOf: readonly RoomId[] | undefined,
): JoinAuthorisation | { readonly unable: true } {
  try {
    return authoriseRestrictedJoin(room, sender, memberOf)
  } catch (error) {
    if (isMatrixError(error) && error.errcode === 'M_UNABLE_TO_GRANT_JOIN') return { unable: true }
    throw error
  }
}

/** Refuses what the target's present membership rules out. Answers the event when nothing is left to do. */
export function checkPresent(
  room: RoomContext,
  { action, sender, target }: MembershipRequest,
): EventId | undefined {
  // Nobody outside learns who is in the room.
  if (sender !== target) requireJoined(room, sender)
  const present = currentMembership(room, target) ?? 'leave'
  // Those who have left are where they want to be.
  if (action === 'leave')
    return present === 'leave' ? currentEvent(room, 'm.room.member', target)?.event_id : undefined
  if (action === 'unban' && present !== 'ban') {
    throw new MatrixError('M_FORBIDDEN', 403, 'The user is not banned')
  }
  const kicked = action === 'kick' && present === 'ban'
  if (kicked || ((action === 'kick' || action === 'remove') && present === 'leave')) {
    throw new MatrixError('M_FORBIDDEN', 403, 'The user is not in the room')
  }
  return undefined
}

/** Whether guests may join the room: only where it says so. */
export function admitsGuests(room: RoomContext): boolean {
  return stringProperty(currentEvent(room, 'm.room.guest_access')?.content, 'guest_access') === 'can_join'
}

// Who vouches for a join is for the server to say.
function withoutAuthorisation(content: JsonObject): JsonObject {
  const { join_authorised_via_users_server: _, ...others } = content
  return others
}

export interface ProfileUpdate {
  readonly userId: UserId
  /** Absent where it stays, null where it was removed. */
  readonly displayname?: string | null
  readonly avatar_url?: string | null
}

/** Repeats the join of a user with a changed profile. Nothing happens for those who are not joined. */
export function updateMemberProfile(
  room: RoomContext,
  signer: Signer,
  { userId, displayname, avatar_url: avatarUrl }: ProfileUpdate,
): void {
  const member = findIdentity(room) && currentEvent(room, 'm.room.member', userId)
  if (!member || currentMembership(room, userId) !== 'join') return
  // What was said on joining is not said again.
  const { reason: _, ...joined } = withoutAuthorisation(member.content)
  const named = changed(joined, 'displayname', displayname)
  const content = changed(named, 'avatar_url', avatarUrl)
  sendEvent(room, signer, { draft: { type: 'm.room.member', sender: userId, state_key: userId, content } })
}

function changed(content: JsonObject, key: string, value: string | null | undefined): JsonObject {
  if (value === undefined) return content
  const { [key]: _, ...others } = content
  return value === null ? others : { ...others, [key]: value }
}
