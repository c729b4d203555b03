// What a server that sends us events meets first: whether the room is ours to keep, and whether its ACL lets them in.
// Specification: server-server API, "Transactions", "Server Access Control Lists (ACLs)".

import type { EventId, ServerName, UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { RoomContext } from './context.ts'
import { requireResident } from './federation-access.ts'
import { membershipAt } from './member-counts.ts'
import { isJoining, keepPending, retryPending } from './pending-pdus.ts'
import {
  checkPdu,
  type FinalReceipt,
  receiveChecked,
  requireSigned,
  type ServerKeySet,
} from './receive-pdu.ts'
import { currentState } from './state-at.ts'

/** `kept`: to be judged later, which goes on by itself; `joining` where the room itself is not here yet. */
export type SentReceipt =
  | FinalReceipt
  | { readonly outcome: 'kept'; readonly eventId: EventId; readonly joining: boolean }

/**
 * Receives PDUs that a server sent, in the given order. What cannot be judged yet is kept, as long as there is room for it.
 * M_NOT_FOUND for a room that this server neither is in nor joins now, M_FORBIDDEN for a server that the room's ACL shuts out.
 */
export function receiveFrom(
  room: RoomContext,
  origin: ServerName,
  pdus: readonly JsonObject[],
  keys: ServerKeySet,
): SentReceipt[] {
  const joining = isJoining(room)
  // Without state there is nothing that an event, or the server, could be judged by.
  if (!joining) requireResident(room, origin)
  const receipts = pdus.map((pdu): SentReceipt => {
    const event = checkPdu(room, pdu, keys)
    if ('outcome' in event) return requireSigned(event)
    const { event_id: eventId } = event
    const incomplete: FinalReceipt = { outcome: 'incomplete', eventId, missing: [] }
    const receipt = joining ? incomplete : receiveChecked(room, event)
    if (receipt.outcome !== 'incomplete' && receipt.outcome !== 'unsigned') return receipt
    // It lacks what it builds upon, or the signature of the policy server.
    return keepPending(room, origin, event) ? { outcome: 'kept', eventId, joining } : incomplete
  })
  retryPending(room)
  return receipts
}

/** Those of a server's users who are joined: others have nothing to say here. The room and its ACL as above. */
export function joinedUsersOf(room: RoomContext, origin: ServerName, userIds: readonly UserId[]): UserId[] {
  requireResident(room, origin)
  const position = currentState(room)
  return userIds.filter(
    (userId) => serverNameOf(userId) === origin && membershipAt(room, userId, position) === 'join',
  )
}
