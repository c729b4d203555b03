// Which servers a room answers at all.
// Specification: server-server API, "Server Access Control Lists (ACLs)", "Joining Rooms", "Retrieving events".

import { MatrixError } from '../errors.ts'
import type { ServerName } from '../matrix/event.ts'
import { isServerAllowed } from '../matrix/server-acl.ts'
import { findIdentity, identity, type RoomContext } from './context.ts'
import { livePosition } from './events.ts'
import { isServerInRoom, joinedServers } from './joined-servers.ts'
import { currentEvent } from './state-at.ts'

// Enough to find one that answers.
const mostServers = 6

/** Refuses servers that the room's ACL shuts out. M_FORBIDDEN. */
export function requireAllowed(room: RoomContext, serverName: ServerName): void {
  if (isServerAllowed(currentEvent(room, 'm.room.server_acl')?.content, serverName)) return
  throw new MatrixError('M_FORBIDDEN', 403, `${serverName} is shut out of this room`)
}

/**
 * Refuses servers that are shut out or have nobody in the room. M_FORBIDDEN, also for rooms that are not here: nobody
 * learns which are.
 */
export function requireInRoom(room: RoomContext, serverName: ServerName): void {
  identity(room)
  requireAllowed(room, serverName)
  if (isServerInRoom(room, serverName)) return
  throw new MatrixError('M_FORBIDDEN', 403, `${serverName} is not in this room`)
}

/** Whether this server has a user in the room. What is known of other rooms may be out of date. */
export function isResident(room: RoomContext): boolean {
  return findIdentity(room) !== undefined && isServerInRoom(room, room.serverName)
}

/**
 * Whether the room stands as this server knows it: it is in the room, or nobody is, so that nobody can have changed anything.
 */
export function isCurrent(room: RoomContext): boolean {
  if (!findIdentity(room)) return false
  return isServerInRoom(room, room.serverName) || (joinedServers(room).size === 0 && livePosition(room) > 0)
}

/** Other servers that are in the room, those with the most users first; or that were when this one was last. */
export function otherServers(room: RoomContext): ServerName[] {
  if (!findIdentity(room)) return []
  return [...joinedServers(room)]
    .filter(([serverName]) => serverName !== room.serverName)
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, mostServers)
    .map(([serverName]) => serverName)
}

/** Refuses to help into a room that this server is not in (M_NOT_FOUND), and servers that are shut out (M_FORBIDDEN). */
export function requireResident(room: RoomContext, serverName: ServerName): void {
  if (!isResident(room)) throw new MatrixError('M_NOT_FOUND', 404, 'This server is not in that room')
  requireAllowed(room, serverName)
}
