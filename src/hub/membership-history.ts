// What users were in a room before what they are now: the newest few changes, kept in the row of the membership itself.
// Specification: client-server API, "Types of room events", `membership` of `unsigned`.

import type { HubContext } from './context.ts'
import type { MembershipNews } from './room-news.ts'

/** From a position of the room on. */
type Since = readonly [position: number, membership: string]

interface MembershipRow extends Record<string, SqlStorageValue> {
  readonly membership: string
  readonly room_pos: number
  readonly earlier: string | null
}

const mostKept = 8

function rowOf(hub: HubContext, uid: number, rid: number): MembershipRow | undefined {
  return hub.sql
    .exec<MembershipRow>(
      'SELECT membership, room_pos, earlier FROM user_room WHERE uid = ? AND rid = ?',
      uid,
      rid,
    )
    .toArray()[0]
}

function earlierOf({ earlier }: MembershipRow): Since[] {
  // Written by `earlierMemberships` alone.
  return earlier === null ? [] : (JSON.parse(earlier) as Since[])
}

/** What the row of a membership that changes now keeps of those before, as JSON text. */
export function earlierMemberships(
  hub: HubContext,
  uid: number,
  rid: number,
  { prev }: MembershipNews,
): string {
  const row = rowOf(hub, uid, rid)
  // Who had nothing to do with the room until now has not been in it.
  const before: Since[] = row
    ? [...earlierOf(row), [row.room_pos, row.membership]]
    : prev === null
      ? [[0, 'leave']]
      : []
  return JSON.stringify(before.slice(-mostKept))
}

/** What a user was in a room just after one of its live positions; undefined where that is not known here. */
export function membershipAt(
  hub: HubContext,
  uid: number,
  rid: number,
  position: number,
): string | undefined {
  const row = rowOf(hub, uid, rid)
  if (!row) return undefined
  const all: Since[] = [...earlierOf(row), [row.room_pos, row.membership]]
  return all.findLast(([since]) => since <= position)?.[1]
}
