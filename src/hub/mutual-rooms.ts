// The rooms that two users have in common. Specification: client-server API, "Mutual Rooms".

import type { RoomId, UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import { findUser, roomIdOf } from './interned.ts'

/** The rooms that a user of this shard has joined and another user as well, wherever that one is of; sorted. */
export function mutualRooms(hub: HubContext, userId: UserId, other: UserId): RoomId[] {
  const uid = findUser(hub, userId)
  if (uid === undefined) return []
  return hub.sql
    .exec<{ rid: number }>(
      `SELECT mine.rid FROM user_room AS mine WHERE mine.uid = ?1 AND mine.membership = 'join' AND (
         EXISTS (SELECT 1 FROM user_room AS theirs
           WHERE theirs.uid = ?2 AND theirs.rid = mine.rid AND theirs.membership = 'join')
         OR EXISTS (SELECT 1 FROM other_members WHERE other_members.rid = mine.rid AND user_id = ?3))`,
      uid,
      findUser(hub, other) ?? 0,
      other,
    )
    .toArray()
    .map(({ rid }) => roomIdOf(hub, rid))
    .sort()
}
