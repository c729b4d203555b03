// Room and user ids as small integers, kept in memory both ways since nearly every call needs them.

import type { RoomId, UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'

interface Interned {
  readonly rooms: Map<string, number>
  readonly roomIds: Map<number, RoomId>
  readonly users: Map<string, number>
  readonly userIds: Map<number, UserId>
}

const maps = new WeakMap<HubContext, Interned>()
const limit = 20_000

function interned(hub: HubContext): Interned {
  const known = maps.get(hub)
  // A bound on memory: ids are looked up again from SQL after the maps were dropped.
  if (known && known.rooms.size < limit && known.users.size < limit) return known
  const fresh = { rooms: new Map(), roomIds: new Map(), users: new Map(), userIds: new Map() }
  maps.set(hub, fresh)
  return fresh
}

/** The number of a room, or undefined if this shard never heard of it. */
export function findRoom(hub: HubContext, roomId: RoomId): number | undefined {
  const { rooms } = interned(hub)
  const known = rooms.get(roomId)
  if (known !== undefined) return known
  const row = hub.sql.exec<{ rid: number }>('SELECT rid FROM rooms WHERE room_id = ?', roomId).toArray()[0]
  if (row) rooms.set(roomId, row.rid)
  return row?.rid
}

/** The number of a room, given out now if it is new. */
export function internRoom(hub: HubContext, roomId: RoomId): number {
  const known = findRoom(hub, roomId)
  if (known !== undefined) return known
  const { rid } = hub.sql
    .exec<{ rid: number }>('INSERT INTO rooms (room_id) VALUES (?) RETURNING rid', roomId)
    .one()
  interned(hub).rooms.set(roomId, rid)
  return rid
}

/** The room id behind a number that this shard gave out. */
export function roomIdOf(hub: HubContext, rid: number): RoomId {
  const { roomIds } = interned(hub)
  const known = roomIds.get(rid)
  if (known !== undefined) return known
  const { room_id: roomId } = hub.sql
    .exec<{ room_id: RoomId }>('SELECT room_id FROM rooms WHERE rid = ?', rid)
    .one()
  roomIds.set(rid, roomId)
  return roomId
}

/** The number of a local user, or undefined if this shard never heard of them. */
export function findUser(hub: HubContext, userId: UserId): number | undefined {
  const { users } = interned(hub)
  const known = users.get(userId)
  if (known !== undefined) return known
  const row = hub.sql.exec<{ uid: number }>('SELECT uid FROM users WHERE user_id = ?', userId).toArray()[0]
  if (row) users.set(userId, row.uid)
  return row?.uid
}

/** The number of a local user, given out now if it is new. */
export function internUser(hub: HubContext, userId: UserId): number {
  const known = findUser(hub, userId)
  if (known !== undefined) return known
  const { uid } = hub.sql
    .exec<{ uid: number }>('INSERT INTO users (user_id) VALUES (?) RETURNING uid', userId)
    .one()
  interned(hub).users.set(userId, uid)
  return uid
}

/** The user id behind a number that this shard gave out. */
export function userIdOf(hub: HubContext, uid: number): UserId {
  const { userIds } = interned(hub)
  const known = userIds.get(uid)
  if (known !== undefined) return known
  const { user_id: userId } = hub.sql
    .exec<{ user_id: UserId }>('SELECT user_id FROM users WHERE uid = ?', uid)
    .one()
  userIds.set(uid, userId)
  return userId
}
