// Unread counts: what the log's push outcomes behind the read position add up to. Nothing is written when something is
// read: the receipt itself is the read position.
// Specification: client-server API, "Receiving notifications".

import type { HubContext } from './context.ts'
import { userIdOf } from './interned.ts'
import type { NotifyOutcome } from './notify.ts'

export interface UnreadCounts {
  readonly notifications: number
  readonly highlights: number
}

interface Folded {
  readonly folded: number
  readonly read_pos: number
  readonly notifications: number
  readonly highlights: number
  readonly [column: string]: SqlStorageValue
}

// A longer tail is folded into a row, so that counting stays cheap in rooms that nobody reads.
const longestTail = 500

/** The unread counts of a user in a room as of a log position. */
export function unreadCounts(hub: HubContext, uid: number, rid: number, upTo: number): UnreadCounts {
  const read = readPosition(hub, uid, rid)
  const folded = foldedCounts(hub, uid, rid, read)
  const counts = { notifications: folded?.notifications ?? 0, highlights: folded?.highlights ?? 0 }
  const tail = hub.sql.exec<{ to_pos: number; notify: string | null }>(
    'SELECT to_pos, notify FROM log WHERE rid = ? AND pos > ? AND pos <= ? ORDER BY pos DESC',
    rid,
    folded?.folded ?? 0,
    upTo,
  )
  let length = 0
  for (const row of tail) {
    // Newest first: everything from here on was read.
    if (row.to_pos <= read) break
    length += 1
    count(counts, uid, row.notify)
  }
  if (length > longestTail) fold(hub, uid, rid, { folded: upTo, read_pos: read, ...counts })
  return counts
}

/** The room position up to which the user has read: their newest receipt, at least where they joined. */
function readPosition(hub: HubContext, uid: number, rid: number): number {
  const { read } = hub.sql
    .exec<{ read: number }>(
      `SELECT max(
         ifnull((SELECT max(room_pos) FROM receipts WHERE rid = ?1 AND user_id = ?3 AND thread = ''), 0),
         ifnull((SELECT room_pos FROM user_room WHERE uid = ?2 AND rid = ?1), 0)) AS read`,
      rid,
      uid,
      userIdOf(hub, uid),
    )
    .one()
  return read
}

// What was folded for another read position says nothing about this one.
function foldedCounts(hub: HubContext, uid: number, rid: number, read: number): Folded | undefined {
  return hub.sql
    .exec<Folded>(
      'SELECT folded, read_pos, notifications, highlights FROM unread WHERE uid = ? AND rid = ? AND read_pos = ?',
      uid,
      rid,
      read,
    )
    .toArray()[0]
}

function fold(hub: HubContext, uid: number, rid: number, row: Folded): void {
  hub.sql.exec(
    'INSERT OR REPLACE INTO unread (uid, rid, folded, read_pos, notifications, highlights) VALUES (?, ?, ?, ?, ?, ?)',
    uid,
    rid,
    row.folded,
    row.read_pos,
    row.notifications,
    row.highlights,
  )
}

function count(
  counts: { notifications: number; highlights: number },
  uid: number,
  notify: string | null,
): void {
  if (notify === null) return
  // Written by `notifyOutcome` alone.
  const outcome = JSON.parse(notify) as NotifyOutcome
  if (!outcome.x.includes(uid)) counts.notifications += 1
  if (outcome.h.includes(uid)) counts.highlights += 1
}
