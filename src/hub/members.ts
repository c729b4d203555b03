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

/** A membership with the stripped state that came with it, as JSON text. */
export interface Standing {
  readonly membership: string
  readonly stripped: string | null
}

/** Where a user stands in a room as this shard was told, undefined where they never had to do with it. */
export function standingIn(hub: HubContext, userId: UserId, roomId: RoomId): Standing | undefined {
  const uid = findUser(hub, userId)
  const rid = findRoom(hub, roomId)
  if (uid === undefined || rid === undefined) return undefined
  const row = hub.sql
    .exec<{ membership: string; stripped: string | null }>(
      'SELECT membership, stripped FROM user_room WHERE uid = ? AND rid = ?',
      uid,
      rid,
    )
    .toArray()[0]
  return row && { membership: row.membership, stripped: row.stripped }
}

/** Those of some users who have joined any of these rooms. */
export function joinedToAny(
  hub: HubContext,
  userIds: readonly UserId[],
  roomIds: readonly RoomId[],
): UserId[] {
  const rids = new Set(roomIds.map((roomId) => findRoom(hub, roomId)))
  return userIds.filter((userId) => {
    const uid = findUser(hub, userId)
    return uid !== undefined && joinedRids(hub, uid).some((rid) => rids.has(rid))
  })
}

/** The numbers of the rooms that a user has joined. */
export function joinedRids(hub: HubContext, uid: number): number[] {
  return hub.sql
    .exec<{ rid: number }>("SELECT rid FROM user_room WHERE uid = ? AND membership = 'join'", uid)
    .toArray()
    .map(({ rid }) => rid)
}

/** Users of this shard who share a joined room with a user; the user is one of them, unless in no room. */
export function usersSharing(hub: HubContext, uid: number): Set<number> {
  const rows = hub.sql.exec<{ uid: number }>(
    `SELECT DISTINCT theirs.uid FROM user_room AS mine
     JOIN user_room AS theirs ON theirs.rid = mine.rid AND theirs.membership = 'join'
     WHERE mine.uid = ? AND mine.membership = 'join'`,
    uid,
  )
  return new Set([...rows].map((row) => row.uid))
}

/** Whether two users of this shard share a joined room. Costs what the rooms of the first are, not their members. */
export function shareRoom(hub: HubContext, uid: number, other: number): boolean {
  const rows = hub.sql.exec(
    `SELECT 1 FROM user_room AS mine
     JOIN user_room AS theirs ON theirs.uid = ? AND theirs.rid = mine.rid AND theirs.membership = 'join'
     WHERE mine.uid = ? AND mine.membership = 'join' LIMIT 1`,
    other,
    uid,
  )
  return rows.toArray().length > 0
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
