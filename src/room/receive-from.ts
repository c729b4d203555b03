// What a server that sends us events meets first: whether the room is ours to keep, and whether its ACL lets them in.
// Specification: server-server API, "Transactions", "Server Access Control Lists (ACLs)".

import type { EventId, ServerName, UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { RoomContext } from './context.ts'
import { eventByEid, forwardExtremities } from './events.ts'
import { requireResident } from './federation-access.ts'
import { membershipAt } from './member-counts.ts'
import { receivePdu, type Receipt, type ServerKeySet } from './receive-pdu.ts'
import { currentState } from './state-at.ts'

/**
 * Receives PDUs that a server sent, in the given order. M_NOT_FOUND for a room that this server is not in, M_FORBIDDEN
 * for a server that the room's ACL shuts out.
 */
export function receiveFrom(
  room: RoomContext,
  origin: ServerName,
  pdus: readonly JsonObject[],
  keys: ServerKeySet,
): Receipt[] {
  requireResident(room, origin)
  return pdus.map((pdu) => receivePdu(room, pdu, keys))
}

/** Those of a server's users who are joined: others have nothing to say here. The room and its ACL as above. */
export function joinedUsersOf(room: RoomContext, origin: ServerName, userIds: readonly UserId[]): UserId[] {
  requireResident(room, origin)
  const position = currentState(room)
  return userIds.filter(
    (userId) => serverNameOf(userId) === origin && membershipAt(room, userId, position) === 'join',
  )
}

/** The ids of the forward extremities. */
export function extremityIds(room: RoomContext): EventId[] {
  return forwardExtremities(room).map((eid) => eventByEid(room, eid).event.event_id)
}
