// Inviting an address that nobody is known to own: what the identity server is told of room and sender, which keeps the invite,
// and the keys by which it is claimed. Specification: client-server API, "Third-party invites"; identity service API,
// POST /store-invite.

import { MatrixError } from '../errors.ts'
import type { InviteDetails } from '../identity/store-invite.ts'
import type { UserId } from '../matrix/event.ts'
import { type InviteKey, keysThatSigned } from '../matrix/event-auth/third-party-invite.ts'
import { type JsonObject, stringProperty } from '../matrix/json.ts'
import { powerLevelsContent, requiredLevel, userPowerLevel } from '../matrix/power-levels.ts'
import { identity, type RoomContext } from './context.ts'
import { isResident } from './federation-access.ts'
import { summary } from './index-room.ts'
import { requireJoined } from './room-power.ts'
import { currentEvent, currentState, stateLookup } from './state-at.ts'
import { exchangeable } from './third-party-invite.ts'

/**
 * What an identity server may tell those it writes to in the name of a member. M_FORBIDDEN for those who are not in the room or may
 * not invite: nobody gets mail about it then.
 */
export function thirdPartyInviteDetails(room: RoomContext, sender: UserId): InviteDetails {
  requireJoined(room, sender)
  const { rules } = identity(room)
  const state = stateLookup(room, currentState(room))
  const needed = requiredLevel(rules, powerLevelsContent(state), 'invite')
  if (userPowerLevel(rules, sender, state) < needed) {
    throw new MatrixError('M_FORBIDDEN', 403, 'You do not have the power to invite')
  }
  const { canonicalAlias, avatarUrl, joinRule, name, type } = summary(room)
  const member = currentEvent(room, 'm.room.member', sender)?.content
  return present({
    room_alias: canonicalAlias,
    room_avatar_url: avatarUrl,
    room_join_rules: joinRule,
    room_name: name,
    room_type: type,
    sender_display_name: stringProperty(member, 'displayname'),
    sender_avatar_url: stringProperty(member, 'avatar_url'),
  })
}

function present(fields: Readonly<Record<string, string | null | undefined>>): InviteDetails {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  )
}

/**
 * The keys that have signed a user's proof; none where it proves nothing, leaves nothing to do, or is of a room that this server
 * is not in. M_FORBIDDEN as `exchangeable`.
 */
export function keysOfThirdPartyInvite(room: RoomContext, target: UserId, signed: JsonObject): InviteKey[] {
  if (!isResident(room) || 'present' in exchangeable(room, target, { signed })) return []
  const token = stringProperty(signed, 'token') ?? ''
  const made = currentEvent(room, 'm.room.third_party_invite', token)
  return made ? keysThatSigned(signed, made.content) : []
}
