// The summary of a room in /sync: how many members, and whom to name the room after.
// Specification: client-server API, "Syncing", RoomSummary; "Calculating the display name for a room".

import { stringProperty, type JsonObject } from '../matrix/json.ts'
import type { RoomContext } from './context.ts'
import { memberCounts, membershipChanges } from './member-counts.ts'
import { eventInState } from './state-at.ts'

/** The summary as of `to`, or undefined where nothing about it changed after `from`. */
export function roomSummary(
  room: RoomContext,
  userId: string,
  from: number | undefined,
  to: number,
): JsonObject | undefined {
  if (from !== undefined && membershipChanges(room, from + 1, to).length === 0) return undefined
  const counts = memberCounts(room)
  const summary: JsonObject = {
    'm.joined_member_count': counts.joined,
    'm.invited_member_count': counts.invited,
  }
  // Heroes are needed only where the room has no name of its own.
  return isNamed(room, to) ? summary : { ...summary, 'm.heroes': heroes(room, userId, to) }
}

function isNamed(room: RoomContext, to: number): boolean {
  const name = stringProperty(eventInState(room, to, 'm.room.name', '')?.content, 'name')
  const alias = stringProperty(eventInState(room, to, 'm.room.canonical_alias', '')?.content, 'alias')
  return Boolean(name) || Boolean(alias)
}

/** Up to five other members, longest in the room first: joined and invited ones, else those who were here once. */
export function heroes(room: RoomContext, userId: string, to: number): string[] {
  const present = membersBy(room, userId, to, ['join', 'invite'])
  return present.length > 0 ? present : membersBy(room, userId, to, ['leave', 'ban'])
}

function membersBy(room: RoomContext, userId: string, to: number, memberships: [string, string]): string[] {
  return room.sql
    .exec<{ state_key: string }>(
      `SELECT slots.state_key FROM slots JOIN state ON state.slot = slots.slot
         AND state.pos = (SELECT max(pos) FROM state AS s WHERE s.slot = slots.slot AND s.pos <= ?)
       WHERE slots.type = 'm.room.member' AND slots.state_key <> ? AND state.membership IN (?, ?)
       ORDER BY state.pos LIMIT 5`,
      to,
      userId,
      ...memberships,
    )
    .toArray()
    .map((row) => row.state_key)
}
