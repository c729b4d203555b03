// Joins of rooms that let in the members of other rooms.
// Specification: client-server API, "Restricted rooms"; room version 8, "Authorisation rules".

import { MatrixError } from '../errors.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { joinRuleOf } from '../matrix/event-auth/room-state.ts'
import { parseRoomId, parseUserId } from '../matrix/identifiers.ts'
import { isJsonObject, objectProperty, property, stringProperty } from '../matrix/json.ts'
import { powerLevelsContent, requiredLevel, roomCreators, userPowerLevel } from '../matrix/power-levels.ts'
import { findIdentity, identity, type RoomContext } from './context.ts'
import { currentMembership } from './send-event.ts'
import { currentEvent, currentState, stateLookup } from './state-at.ts'

/** What a join must say of who let the user in: nothing where the room is not restricted for them. */
export type JoinAuthorisation =
  | { readonly join_authorised_via_users_server?: UserId }
  | { readonly needsMembership: readonly RoomId[] }

/**
 * Finds who vouches for a join, or which rooms the user would have to be joined to. M_FORBIDDEN for one who meets no
 * condition, M_UNABLE_TO_GRANT_JOIN (400) when no local user may invite.
 */
export function authoriseRestrictedJoin(
  room: RoomContext,
  userId: UserId,
  memberOf: readonly RoomId[] | undefined,
): JoinAuthorisation {
  const membership = currentMembership(room, userId)
  // Invited and joined users are let in as everywhere; for banned ones the auth rules have the answer.
  if (!isRestricted(room) || (membership !== undefined && membership !== 'leave' && membership !== 'knock'))
    return {}
  const allowed = allowedRooms(room)
  if (allowed.length > 0 && memberOf === undefined) return { needsMembership: allowed }
  // One condition that is met is enough. The join rule may have changed since the rooms were asked for.
  if (!allowed.some((roomId) => memberOf?.includes(roomId))) {
    throw new MatrixError('M_FORBIDDEN', 403, 'You are in none of the rooms whose members may join this room')
  }
  const authoriser = findAuthoriser(room)
  if (authoriser === undefined) {
    throw new MatrixError('M_UNABLE_TO_GRANT_JOIN', 400, 'No user of this server can let you in')
  }
  return { join_authorised_via_users_server: authoriser }
}

/** Whether members of other rooms may join, in a room version that knows such rooms. */
export function isRestricted(room: RoomContext): boolean {
  const { rules } = identity(room)
  const joinRule = joinRuleOf(stateLookup(room, currentState(room)))
  return (
    (joinRule === 'restricted' && rules.restrictedJoins) ||
    (joinRule === 'knock_restricted' && rules.knockRestricted)
  )
}

/** The rooms whose members may join. Conditions that are not understood, or malformed, are met by nobody. */
export function allowedRooms(room: RoomContext): RoomId[] {
  const allow = property(currentEvent(room, 'm.room.join_rules')?.content, 'allow')
  return (Array.isArray(allow) ? allow : [])
    .filter(isJsonObject)
    .filter((condition) => property(condition, 'type') === 'm.room_membership')
    .map((condition) => parseRoomId(stringProperty(condition, 'room_id') ?? ''))
    .filter((roomId) => roomId !== undefined)
}

/** A joined user of this server who may invite: creators and the most powerful first. */
function findAuthoriser(room: RoomContext): UserId | undefined {
  const { rules } = identity(room)
  const state = stateLookup(room, currentState(room))
  const levels = powerLevelsContent(state)
  const needed = requiredLevel(rules, levels, 'invite')
  const mayInvite = (userId: UserId) =>
    isLocal(room, userId) &&
    userPowerLevel(rules, userId, state) >= needed &&
    currentMembership(room, userId) === 'join'
  const create = state('m.room.create', '')
  const named = [
    ...(create ? roomCreators(rules, create) : []),
    ...Object.keys(objectProperty(levels, 'users') ?? {})
      .map(parseUserId)
      .filter((userId) => userId !== undefined)
      .toSorted((a, b) => userPowerLevel(rules, b, state) - userPowerLevel(rules, a, state)),
  ]
  const powerful = named.find(mayInvite)
  if (powerful !== undefined || requiredLevel(rules, levels, 'users_default') < needed) return powerful
  // Everyone who is not named may invite: the first who is joined will do.
  for (const userId of localMembers(room)) if (mayInvite(userId)) return userId
  return undefined
}

function isLocal(room: RoomContext, userId: UserId): boolean {
  return userId.endsWith(`:${room.serverName}`)
}

/** The joined users of this server. */
export function* localMembers(room: RoomContext): Generator<UserId> {
  if (!findIdentity(room)) return
  // Not LIKE, whose patterns the platform limits to 50 bytes.
  const rows = room.sql.exec<{ user_id: string }>(
    `SELECT slots.state_key AS user_id FROM slots JOIN state USING (slot)
     WHERE slots.type = 'm.room.member' AND substr(slots.state_key, -length(?1)) = ?1 AND state.membership = 'join'
       AND state.pos = (SELECT max(pos) FROM state AS later WHERE later.slot = slots.slot)`,
    `:${room.serverName}`,
  )
  for (const row of rows) {
    const userId = parseUserId(row.user_id)
    if (userId !== undefined) yield userId
  }
}
