// Joined users of other servers and other shards in the rooms of this shard's users: with whom they share a room, and with
// which servers. A row a member, written with what the room tells of its events.
// Specification: server-server API, "Device Management"; client-server API, "Tracking the device list for a user".

import type { RoomId, ServerName, UserId } from '../matrix/event.ts'
import type { JsonValue } from '../matrix/json.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import type { HubContext } from './context.ts'

/** What happened to a user who is not of this shard. */
export interface OtherMember extends MemberProfile {
  readonly userId: UserId
  readonly joined: boolean
}

/** What a member event says of its user; absent where it does not, or where nobody has looked. */
export interface MemberProfile {
  readonly name?: string
  readonly avatar?: string
}

/** Takes over who joined and left. Call inside a transaction. */
export function applyOtherMembers(hub: HubContext, rid: number, members: readonly OtherMember[]): void {
  if (members.length === 0) return
  // What happened last counts.
  const now = [...new Map(members.map((member) => [member.userId, member])).values()]
  // As lists: the first join of a room brings all its members.
  const joined = now.filter((member) => member.joined)
  for (const list of lists(
    joined.map(({ userId, name, avatar }) => [userId, name ?? null, avatar ?? null]),
  )) {
    hub.sql.exec(
      `INSERT OR IGNORE INTO other_members (rid, user_id, name, avatar)
       SELECT ?, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)`,
      rid,
      list,
    )
  }
  for (const list of lists(now.filter((member) => !member.joined).map(({ userId }) => userId))) {
    hub.sql.exec(
      'DELETE FROM other_members WHERE rid = ? AND user_id IN (SELECT value FROM json_each(?))',
      rid,
      list,
    )
  }
}

/** Takes over what members are called now. */
export function renameOtherMembers(hub: HubContext, rid: number, members: readonly OtherMember[]): void {
  for (const { userId, name = null, avatar = null } of members) {
    hub.sql.exec(
      `UPDATE other_members SET name = ?1, avatar = ?2
       WHERE rid = ?3 AND user_id = ?4 AND (name IS NOT ?1 OR avatar IS NOT ?2)`,
      name,
      avatar,
      rid,
      userId,
    )
  }
}

// A parameter has two megabytes at most, a member with a name and an avatar fewer than two thousand bytes.
const membersPerList = 1000

function lists(members: readonly JsonValue[]): string[] {
  return Array.from({ length: Math.ceil(members.length / membersPerList) }, (_, i) =>
    JSON.stringify(members.slice(i * membersPerList, (i + 1) * membersPerList)),
  )
}

/** The other members of a room. */
export function otherMembers(hub: HubContext, rid: number): UserId[] {
  return hub.sql
    .exec<{ userId: UserId }>('SELECT user_id AS userId FROM other_members WHERE rid = ?', rid)
    .toArray()
    .map(({ userId }) => userId)
}

/** The other members with whom a user shares any room. */
export function othersSharing(hub: HubContext, uid: number): UserId[] {
  return hub.sql
    .exec<{ userId: UserId }>(
      `SELECT DISTINCT theirs.user_id AS userId FROM user_room AS mine
       JOIN other_members AS theirs ON theirs.rid = mine.rid
       WHERE mine.uid = ? AND mine.membership = 'join'`,
      uid,
    )
    .toArray()
    .map(({ userId }) => userId)
}

/** Whether a user shares a room with one who is not of this shard. Costs what the rooms of the first are. */
export function sharesWithOther(hub: HubContext, uid: number, other: UserId): boolean {
  const rows = hub.sql.exec(
    `SELECT 1 FROM user_room AS mine
     JOIN other_members AS theirs ON theirs.rid = mine.rid AND theirs.user_id = ?
     WHERE mine.uid = ? AND mine.membership = 'join' LIMIT 1`,
    other,
    uid,
  )
  return rows.toArray().length > 0
}

/** The other members of a room with whom a user shares no room, now that the user has left it. */
export function othersLost(hub: HubContext, uid: number, rid: number): UserId[] {
  return hub.sql
    .exec<{ userId: UserId }>(
      `SELECT gone.user_id AS userId FROM other_members AS gone WHERE gone.rid = ? AND NOT EXISTS (
         SELECT 1 FROM user_room AS mine
         JOIN other_members AS theirs ON theirs.rid = mine.rid AND theirs.user_id = gone.user_id
         WHERE mine.uid = ? AND mine.membership = 'join')`,
      rid,
      uid,
    )
    .toArray()
    .map(({ userId }) => userId)
}

/** The users of this shard who share a room with one who is not of it. Costs what the rooms of the shard are. */
export function sharersWithOther(hub: HubContext, other: UserId): number[] {
  return hub.sql
    .exec<{ uid: number }>(
      `SELECT DISTINCT user_room.uid FROM rooms
       JOIN other_members ON other_members.rid = rooms.rid AND other_members.user_id = ?
       JOIN user_room ON user_room.rid = rooms.rid AND user_room.membership = 'join'`,
      other,
    )
    .toArray()
    .map(({ uid }) => uid)
}

/** The rooms of this shard that one who is not of it is in. Costs what the rooms of the shard are. */
export function roomsOfOther(hub: HubContext, other: UserId): RoomId[] {
  return hub.sql
    .exec<{ roomId: RoomId }>(
      `SELECT rooms.room_id AS roomId FROM rooms
       JOIN other_members ON other_members.rid = rooms.rid AND other_members.user_id = ?`,
      other,
    )
    .toArray()
    .map(({ roomId }) => roomId)
}

/** The other servers in the rooms of a user, or only those in one of the rooms. */
export function serversWith(
  hub: HubContext,
  uid: number,
  room: { readonly only?: number; readonly but?: number } = {},
): Set<ServerName> {
  const rows = hub.sql.exec<{ domain: string; sample: UserId }>(
    `SELECT substr(theirs.user_id, instr(theirs.user_id, ':') + 1) AS domain, min(theirs.user_id) AS sample
     FROM user_room AS mine JOIN other_members AS theirs ON theirs.rid = mine.rid
     WHERE mine.uid = ? AND mine.membership = 'join' AND mine.rid = ifnull(?, mine.rid) AND mine.rid IS NOT ?
     GROUP BY domain`,
    uid,
    room.only ?? null,
    room.but ?? null,
  )
  const servers = new Set([...rows].map(({ sample }) => serverNameOf(sample)))
  for (const name of servers) if (name === hub.serverName) servers.delete(name)
  return servers
}
