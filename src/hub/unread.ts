// Unread counts: what the log's push outcomes after the read position add up to.
// Specification: client-server API, "Receiving notifications".

import type { HubContext } from './context.ts'
import type { NotifyOutcome } from './notify.ts'

export interface UnreadCounts {
  readonly notifications: number
  readonly highlights: number
}

interface UnreadRow {
  readonly folded: number
  readonly notifications: number
  readonly highlights: number
  readonly [column: string]: SqlStorageValue
}

// A longer tail is folded into the row, so that counting stays cheap in rooms that nobody reads.
const longestTail = 500

/** Everything up to a log position is read. Reading backwards counts what comes after it again. */
export function markRead(hub: HubContext, uid: number, rid: number, position: number): void {
  hub.sql.exec('INSERT OR REPLACE INTO unread VALUES (?, ?, ?, 0, 0)', uid, rid, position)
}

/** The unread counts of a user in a room as of a log position. */
export function unreadCounts(hub: HubContext, uid: number, rid: number, upTo: number): UnreadCounts {
  const row = hub.sql
    .exec<UnreadRow>(
      'SELECT folded, notifications, highlights FROM unread WHERE uid = ? AND rid = ?',
      uid,
      rid,
    )
    .toArray()[0] ?? { folded: 0, notifications: 0, highlights: 0 }
  const tail = hub.sql
    .exec<{ notify: string | null }>(
      'SELECT notify FROM log WHERE rid = ? AND pos > ? AND pos <= ? AND notify IS NOT NULL',
      rid,
      row.folded,
      upTo,
    )
    .toArray()
  let { notifications, highlights } = row
  for (const { notify } of tail) {
    if (notify === null) continue
    // Written by `notifyOutcome` alone.
    const outcome = JSON.parse(notify) as NotifyOutcome
    if (!outcome.x.includes(uid)) notifications += 1
    if (outcome.h.includes(uid)) highlights += 1
  }
  if (tail.length > longestTail) {
    hub.sql.exec(
      'INSERT OR REPLACE INTO unread VALUES (?, ?, ?, ?, ?)',
      uid,
      rid,
      upTo,
      notifications,
      highlights,
    )
  }
  return { notifications, highlights }
}
