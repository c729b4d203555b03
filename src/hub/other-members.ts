// Joined users of other servers and other shards in the rooms of this shard's users: with whom they share a room, and with
// which servers. A row a member, written with what the room tells of its events.
// Specification: server-server API, "Device Management"; client-server API, "Tracking the device list for a user".

import type { ServerName, UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import type { HubContext } from './context.ts'

/** What happened to a user who is not of this shard. */
export interface OtherMember {
  readonly userId: UserId
  readonly joined: boolean
}

/** Takes over who joined and left. Call inside a transaction. */
export function applyOtherMembers(hub: HubContext, rid: number, members: readonly OtherMember[]): void {
  if (members.length === 0) return
  // What happened last counts.
  const now = [...new Map(members.map(({ userId, joined }) => [userId, joined]))]
  const ids = (wanted: boolean) =>
    lists(now.filter(([, joined]) => joined === wanted).map(([userId]) => userId))
  // As lists: the first join of a room brings all its members.
  for (const list of ids(true)) {
    hub.sql.exec(
      'INSERT OR IGNORE INTO other_members (rid, user_id) SELECT ?, value FROM json_each(?)',
      rid,
      list,
    )
  }
  for (const list of ids(false)) {
    hub.sql.exec(
      'DELETE FROM other_members WHERE rid = ? AND user_id IN (SELECT value FROM json_each(?))',
      rid,
      list,
    )
  }
}

// A parameter has two megabytes at most, a user id 255 bytes.
const idsPerList = 5000

function lists(ids: readonly UserId[]): string[] {
  return Array.from({ length: Math.ceil(ids.length / idsPerList) }, (_, i) =>
    JSON.stringify(ids.slice(i * idsPerList, (i + 1) * idsPerList)),
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
