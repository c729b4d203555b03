// The local users of rooms, as far as this shard has them.

import type { RoomId, UserId } from '../matrix/event.ts'
import { MatrixError } from '../errors.ts'
import type { HubContext } from './context.ts'
import { findRoom, findUser, roomIdOf } from './interned.ts'

/** uid → display name (null for none) of the joined local users of a room. */
export type JoinedMembers = ReadonlyMap<number, string | null>

const caches = new WeakMap<HubContext, Map<number, JoinedMembers>>()
const cachedRooms = 2000

function cacheOf(hub: HubContext): Map<number, JoinedMembers> {
  const known = caches.get(hub)
  if (known && known.size < cachedRooms) return known
  const fresh = new Map<number, JoinedMembers>()
  caches.set(hub, fresh)
  return fresh
}

/** The joined local users of a room. */
export function joinedMembers(hub: HubContext, rid: number): JoinedMembers {
  const cache = cacheOf(hub)
  const known = cache.get(rid)
  if (known) return known
  const rows = hub.sql.exec<{ uid: number; display_name: string | null }>(
    "SELECT uid, display_name FROM user_room WHERE rid = ? AND membership = 'join'",
    rid,
  )
  const members = new Map([...rows].map((row) => [row.uid, row.display_name]))
  cache.set(rid, members)
  return members
}

/** Drops what is cached of a room whose memberships change. */
export function forgetMembers(hub: HubContext, rid: number): void {
  cacheOf(hub).delete(rid)
}

/** The rooms in which a user has a membership, without forgotten ones. */
export function roomsOf(hub: HubContext, userId: UserId): { roomId: RoomId; membership: string }[] {
  const uid = findUser(hub, userId)
  if (uid === undefined) return []
  return hub.sql
    .exec<{ rid: number; membership: string }>(
      'SELECT rid, membership FROM user_room WHERE uid = ? AND forgotten = 0',
      uid,
    )
    .toArray()
    .map(({ rid, membership }) => ({ roomId: roomIdOf(hub, rid), membership }))
}

/** The rooms that a user has joined. */
export function joinedRooms(hub: HubContext, userId: UserId): RoomId[] {
  return roomsOf(hub, userId)
    .filter(({ membership }) => membership === 'join')
    .map(({ roomId }) => roomId)
}

/** Which of these rooms a user has joined. */
export function membershipsIn(hub: HubContext, userId: UserId, roomIds: readonly RoomId[]): RoomId[] {
  return roomIds.filter((roomId) => membershipOf(hub, userId, roomId) === 'join')
}

/** A user's membership in a room as this shard was told, undefined for none. */
export function membershipOf(hub: HubContext, userId: UserId, roomId: RoomId): string | undefined {
  const uid = findUser(hub, userId)
  const rid = findRoom(hub, roomId)
  if (uid === undefined || rid === undefined) return undefined
  return hub.sql
    .exec<{ membership: string }>('SELECT membership FROM user_room WHERE uid = ? AND rid = ?', uid, rid)
    .toArray()[0]?.membership
}

/** Refuses users who are not joined to a room. M_FORBIDDEN. */
export function requireJoined(hub: HubContext, userId: UserId, roomId: RoomId): void {
  if (membershipOf(hub, userId, roomId) !== 'join') {
    throw new MatrixError('M_FORBIDDEN', 403, 'You are not in this room')
  }
}

/** Forgets a room that the user has left. M_UNKNOWN while they are still in it, as the specification has it. */
export function forgetRoom(hub: HubContext, userId: UserId, roomId: RoomId): void {
  const membership = membershipOf(hub, userId, roomId)
  if (membership === 'join' || membership === 'invite' || membership === 'knock') {
    throw new MatrixError('M_UNKNOWN', 400, 'You must leave the room before you forget it')
  }
  if (membership === undefined) throw new MatrixError('M_UNKNOWN', 400, 'You were never in this room')
  hub.sql.exec(
    'UPDATE user_room SET forgotten = 1 WHERE uid = ? AND rid = ?',
    findUser(hub, userId) ?? 0,
    findRoom(hub, roomId) ?? 0,
  )
}
