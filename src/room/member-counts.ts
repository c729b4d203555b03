// How many users are joined and invited, kept in memory and brought up to date from the membership rows.

import type { RoomContext } from './context.ts'
import { livePosition } from './events.ts'

export interface MemberCounts {
  joined: number
  invited: number
}

const known = new WeakMap<RoomContext, { position: number; counts: MemberCounts }>()

/** The member counts of the current state. */
export function memberCounts(room: RoomContext): MemberCounts {
  const position = livePosition(room)
  const last = known.get(room)
  if (last?.position === position) return last.counts
  // Going back means a rolled back transaction: count anew.
  const counts = last && last.position < position ? catchUp(room, last, position) : countAt(room, position)
  known.set(room, { position, counts })
  return counts
}

/** The member counts of the state as it was at a position. Reads a row a member. */
export function countAt(room: RoomContext, position: number): MemberCounts {
  const counts: MemberCounts = { joined: 0, invited: 0 }
  const rows = room.sql.exec<{ membership: string | null; n: number }>(
    `SELECT membership, count(*) AS n FROM (
       SELECT state.membership, max(state.pos) FROM slots JOIN state USING (slot)
       WHERE slots.type = 'm.room.member' AND state.pos <= ? GROUP BY slot
     ) GROUP BY membership`,
    position,
  )
  for (const { membership, n } of rows) add(counts, membership, n)
  return counts
}

function catchUp(
  room: RoomContext,
  last: { position: number; counts: MemberCounts },
  position: number,
): MemberCounts {
  const counts = { ...last.counts }
  for (const change of membershipChanges(room, last.position + 1, position)) {
    add(counts, change.prev, -1)
    add(counts, change.next, 1)
  }
  return counts
}

function add(counts: MemberCounts, membership: string | null, n: number): void {
  if (membership === 'join') counts.joined += n
  if (membership === 'invite') counts.invited += n
}

export interface MembershipChange {
  readonly userId: string
  readonly position: number
  /** The member event, 0 where the current state lost it. */
  readonly eid: number
  readonly prev: string | null
  readonly next: string | null
}

/** What happened to member slots of the current state in a range of positions, both ends included, in order. */
export function membershipChanges(room: RoomContext, from: number, to: number): MembershipChange[] {
  return room.sql
    .exec<{ userId: string; position: number; eid: number; prev: string | null; next: string | null }>(
      `SELECT slots.state_key AS userId, s.pos AS position, s.eid AS eid, s.membership AS next,
         (SELECT p.membership FROM state AS p WHERE p.slot = s.slot AND p.pos < s.pos ORDER BY p.pos DESC LIMIT 1) AS prev
       FROM state AS s JOIN slots USING (slot)
       WHERE s.pos BETWEEN ? AND ? AND slots.type = 'm.room.member' ORDER BY s.pos, s.slot`,
      from,
      to,
    )
    .toArray()
}

/** A user's membership in the current state as it was at a position, null if there was none. */
export function membershipAt(room: RoomContext, userId: string, position: number): string | null {
  const row = room.sql
    .exec<{ membership: string | null }>(
      `SELECT state.membership FROM slots JOIN state USING (slot)
       WHERE slots.type = 'm.room.member' AND slots.state_key = ? AND state.pos <= ?
       ORDER BY state.pos DESC LIMIT 1`,
      userId,
      position,
    )
    .toArray()[0]
  return row?.membership ?? null
}
