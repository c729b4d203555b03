// Unread counts: what the log's push outcomes behind the read positions add up to. Nothing is written when something is
// read: the receipts themselves are the read positions, of the whole room and of its threads, and so are the user's own messages.
// Specification: client-server API, "Receiving notifications", "Threaded read receipts".

import type { HubContext } from './context.ts'
import { userIdOf } from './interned.ts'
import type { NotifyOutcome } from './notify.ts'

export interface Counts {
  readonly notifications: number
  readonly highlights: number
}

/** The counts of a whole room, threads included. */
export interface UnreadCounts extends Counts {
  /** Of what is unread in threads, by the event id of their roots. */
  readonly threads: Readonly<Record<string, Counts>>
}

/** The thread of what is in none. */
const mainTimeline = 'main'

// A longer tail is folded into a row, so that counting stays cheap in rooms that nobody reads.
const longestTail = 500

/** The unread counts of a user in a room as of a log position. */
export function unreadCounts(hub: HubContext, uid: number, rid: number, upTo: number): UnreadCounts {
  const reads = readPositions(hub, uid, rid)
  const kept = foldedCounts(hub, uid, rid)
  const counts = new Map<string, { notifications: number; highlights: number; read: number }>()
  const folded = Object.entries(kept.threads)
  // Threads that were read in the middle of what is folded are counted again.
  const again = new Set(
    folded.flatMap(([thread, { read }]) => {
      const now = reads.of(thread)
      return now !== read && now < kept.foldedTo ? [thread] : []
    }),
  )
  // Where the user has spoken, who has read what was said before, and where that is after what is folded.
  const spoken = new Set<string>()
  const spokenSince = new Set<string>()
  let length = 0
  for (const row of newestFirst(hub, rid, again.size > 0 ? 0 : kept.folded, upTo)) {
    // Everything from here on was read, or is folded.
    if (row.to_pos <= reads.room) break
    const isNew = row.pos > kept.folded
    length += isNew ? 1 : 0
    if (row.reader === uid) {
      spoken.add(row.readerThread)
      if (isNew) spokenSince.add(row.readerThread)
    }
    if (row.outcome === null || row.outcome.gone) continue
    const { x, h, t = mainTimeline } = row.outcome
    if (spoken.has(t) || (!isNew && !again.has(t))) continue
    const read = reads.of(t)
    if (row.to_pos <= read) continue
    const count = counts.get(t) ?? { notifications: 0, highlights: 0, read }
    counts.set(t, count)
    if (!x.includes(uid)) count.notifications += 1
    if (h.includes(uid)) count.highlights += 1
  }
  for (const [thread, { read, notifications, highlights }] of folded) {
    if (read !== reads.of(thread) || spokenSince.has(thread)) continue
    const count = counts.get(thread) ?? { notifications: 0, highlights: 0, read }
    counts.set(thread, {
      read,
      notifications: count.notifications + notifications,
      highlights: count.highlights + highlights,
    })
  }
  if (length > longestTail) fold(hub, uid, rid, upTo, Object.fromEntries(counts))
  return summed(counts)
}

/**
 * Tells whether a user has read what stands at a position of a room, in a thread or the main timeline, as of now: by a receipt, or by
 * having spoken there since. Costs least where it is asked from the newest position on.
 */
export function whatIsRead(
  hub: HubContext,
  uid: number,
  rid: number,
): (thread: string | undefined, position: number) => boolean {
  const reads = readPositions(hub, uid, rid)
  const rows = newestFirst(hub, rid, 0, hub.position)
  const spoken = new Map<string, number>()
  let row = rows.next()
  return (thread = mainTimeline, position) => {
    if (reads.of(thread) >= position) return true
    for (; !row.done && row.value.to_pos >= position; row = rows.next()) {
      const { reader, readerThread, to_pos: at } = row.value
      if (reader === uid && !spoken.has(readerThread)) spoken.set(readerThread, at)
    }
    return (spoken.get(thread) ?? -1) >= position
  }
}

function summed(all: ReadonlyMap<string, Counts>): UnreadCounts {
  const total = { notifications: 0, highlights: 0 }
  const threads: [string, Counts][] = []
  for (const [thread, { notifications, highlights }] of all) {
    total.notifications += notifications
    total.highlights += highlights
    if (thread !== mainTimeline && notifications > 0) threads.push([thread, { notifications, highlights }])
  }
  return { ...total, threads: Object.fromEntries(threads) }
}

interface LogRow {
  readonly pos: number
  readonly to_pos: number
  readonly outcome: NotifyOutcome | null
  /** Who has read, by sending the event, what was said before it in the thread. */
  readonly reader: number | null
  readonly readerThread: string
}

/** The newest rows of the room that was counted last, as of a log position. */
interface Tail {
  readonly rid: number
  readonly upTo: number
  readonly rows: LogRow[]
  /** Whether there may be older ones. */
  more: boolean
}

const tails = new WeakMap<HubContext, Tail>()
const firstPage = 4
const longestKept = 512

// An event is counted for all who wait for it, one after the other: what they have in common is read and parsed once.
function* newestFirst(hub: HubContext, rid: number, after: number, upTo: number): Generator<LogRow> {
  const known = tails.get(hub)
  const tail = known?.rid === rid && known.upTo === upTo ? known : { rid, upTo, rows: [], more: true }
  tails.set(hub, tail)
  for (let i = 0; ; i += 1) {
    if (i === tail.rows.length && tail.more) readMore(hub, tail)
    const row = tail.rows[i]
    if (!row) break
    if (row.pos <= after) return
    yield row
  }
  if (tail.rows.length < longestKept) return
  const last = tail.rows.at(-1)?.pos ?? 0
  for (const row of logRows(hub, rid, last - 1, -1)) {
    if (row.pos <= after) return
    yield row
  }
}

/** As many rows again as there are. */
function readMore(hub: HubContext, tail: Tail): void {
  const { rid, rows, upTo } = tail
  const limit = Math.min(rows.length || firstPage, longestKept - rows.length)
  const last = rows.at(-1)
  const page = limit > 0 ? [...logRows(hub, rid, last ? last.pos - 1 : upTo, limit)] : []
  rows.push(...page)
  tail.more = page.length === limit && limit > 0
}

/** Rows up to a position, the newest first; -1 is no limit. */
function* logRows(hub: HubContext, rid: number, upTo: number, limit: number): Generator<LogRow> {
  const rows = hub.sql.exec<{
    pos: number
    to_pos: number
    notify: string | null
    reader: number | null
    reader_thread: string | null
  }>(
    `SELECT pos, to_pos, notify, reader, reader_thread FROM log WHERE rid = ? AND pos <= ?
     ORDER BY pos DESC LIMIT ?`,
    rid,
    upTo,
    limit,
  )
  for (const { pos, to_pos, notify, reader, reader_thread: thread } of rows) {
    // Written by `notified` alone.
    const outcome = notify === null ? null : (JSON.parse(notify) as NotifyOutcome)
    yield { pos, to_pos, outcome, reader, readerThread: thread ?? mainTimeline }
  }
}

interface ReadPositions {
  /** The room position up to which everything was read, whatever thread it is in. */
  readonly room: number
  /** The same of one thread. */
  readonly of: (thread: string) => number
}

/** Where the user's receipts are, at least where they joined. */
function readPositions(hub: HubContext, uid: number, rid: number): ReadPositions {
  const rows = hub.sql
    .exec<{ thread: string; read: number }>(
      `SELECT thread, max(room_pos) AS read FROM receipts WHERE rid = ?1 AND user_id = ?3 GROUP BY thread
       UNION ALL SELECT '', room_pos FROM user_room WHERE uid = ?2 AND rid = ?1`,
      rid,
      uid,
      userIdOf(hub, uid),
    )
    .toArray()
  const positions = new Map<string, number>()
  for (const { thread, read } of rows) positions.set(thread, Math.max(read, positions.get(thread) ?? 0))
  const room = positions.get('') ?? 0
  return { room, of: (thread) => Math.max(room, positions.get(thread) ?? 0) }
}

interface Folded {
  /** The log position up to which the counts go, and the room's own. */
  readonly folded: number
  readonly foldedTo: number
  /** By thread, with the read position that they were counted from. */
  readonly threads: Readonly<Record<string, Counts & { readonly read: number }>>
}

function foldedCounts(hub: HubContext, uid: number, rid: number): Folded {
  const row = hub.sql
    .exec<{ folded: number; folded_to: number; threads: string }>(
      'SELECT folded, folded_to, threads FROM unread WHERE uid = ? AND rid = ?',
      uid,
      rid,
    )
    .toArray()[0]
  if (!row) return { folded: 0, foldedTo: 0, threads: {} }
  // Written by `fold` alone.
  const threads = JSON.parse(row.threads) as Folded['threads']
  return { folded: row.folded, foldedTo: row.folded_to, threads }
}

function fold(hub: HubContext, uid: number, rid: number, upTo: number, threads: Folded['threads']): void {
  hub.sql.exec(
    `INSERT OR REPLACE INTO unread (uid, rid, folded, folded_to, threads)
     SELECT ?1, ?2, pos, to_pos, ?4 FROM log WHERE rid = ?2 AND pos <= ?3 ORDER BY pos DESC LIMIT 1`,
    uid,
    rid,
    upTo,
    JSON.stringify(threads),
  )
}
