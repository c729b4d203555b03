// Who may see the summary of a room: those who could read it or come in.
// Specification: client-server API, GET /rooms/{roomId}/hierarchy and /room_summary; server-server API, "Spaces".

import type { RoomId, ServerName, UserId } from '../matrix/event.ts'
import { joinRuleOf } from '../matrix/event-auth/room-state.ts'
import { stringProperty } from '../matrix/json.ts'
import { isServerAllowed } from '../matrix/server-acl.ts'
import { identity, type RoomContext } from './context.ts'
import { isServerInRoom } from './joined-servers.ts'
import { allowedRooms, isRestricted } from './restricted-join.ts'
import { currentMembership } from './send-event.ts'
import { currentEvent, currentState, stateLookup } from './state-at.ts'

/** A user of ours, another server on behalf of its users, or someone who is not signed in. */
export type Requester =
  | { readonly userId: UserId }
  | { readonly serverName: ServerName }
  | { readonly anyone: true }

/** `membersOf`: only if the user, or some user of the server, is joined to one of these rooms. */
export type SummaryAccess = 'open' | 'closed' | { readonly membersOf: readonly RoomId[] }

/** What the room, as it stands, lets a requester see of it. */
export function summaryAccess(room: RoomContext, requester: Requester): SummaryAccess {
  // Nobody of a server that is shut out could join.
  if ('serverName' in requester && !isAdmitted(room, requester.serverName)) return 'closed'
  const visibility = currentEvent(room, 'm.room.history_visibility')?.content
  if (stringProperty(visibility, 'history_visibility') === 'world_readable') return 'open'
  const belongs = belonging(room, requester)
  if (belongs !== undefined) return belongs ? 'open' : 'closed'
  const { rules } = identity(room)
  const joinRule = joinRuleOf(stateLookup(room, currentState(room)))
  if (joinRule === 'public') return 'open'
  if (joinRule === 'knock' && rules.knocking) return 'open'
  if (joinRule === 'knock_restricted' && rules.knockRestricted) return 'open'
  if (isRestricted(room) && !('anyone' in requester)) return { membersOf: allowedRooms(room) }
  return 'closed'
}

/** Whether memberships decide: members and the invited come in, the banned do not, whatever the join rule. */
function belonging(room: RoomContext, requester: Requester): boolean | undefined {
  if ('userId' in requester) {
    const membership = currentMembership(room, requester.userId)
    if (membership === 'join' || membership === 'invite') return true
    return membership === 'ban' ? false : undefined
  }
  if (!('serverName' in requester)) return undefined
  const { serverName } = requester
  return isServerInRoom(room, serverName) || hasInvited(room, serverName) ? true : undefined
}

function isAdmitted(room: RoomContext, serverName: ServerName): boolean {
  return isServerAllowed(currentEvent(room, 'm.room.server_acl')?.content, serverName)
}

function hasInvited(room: RoomContext, serverName: ServerName): boolean {
  const ending = `:${serverName}`
  // Not LIKE, whose patterns the platform limits to 50 bytes.
  const rows = room.sql
    .exec<{ user_id: string }>(
      `SELECT slots.state_key AS user_id FROM slots JOIN state USING (slot)
       WHERE slots.type = 'm.room.member' AND substr(slots.state_key, ?) = ? AND state.membership = 'invite'
         AND state.pos = (SELECT max(pos) FROM state AS later WHERE later.slot = slots.slot)`,
      -ending.length,
      ending,
    )
    .toArray()
  // The server name begins after the first colon.
  return rows.some(({ user_id: userId }) => userId.slice(userId.indexOf(':')) === ending)
}
