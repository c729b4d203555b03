// Pushes that wait: rows, so that none is lost with the memory of the object.

import type { Pusher, Pushes, RoomPlace } from './context.ts'
import type { StoredNotification } from './notification.ts'

/** A push that waits for its pusher. */
export interface Push extends RoomPlace {
  /** The position in the log of what it is about: the order in which pushes go out. */
  readonly position: number
  /** Milliseconds. */
  readonly ts: number
  readonly notification: StoredNotification
}

// More than that is not worth being told late.
const mostWaiting = 100

/** Writes a push down. Once that is committed, `wasQueued` must be told of it. */
export function queuePush({ deps }: Pushes, pusher: Pusher, push: Push): void {
  deps.sql.exec(
    `INSERT OR REPLACE INTO pushes (pusher, pos, ts, rid, room_pos, thread, notification)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    pusher.id,
    push.position,
    push.ts,
    push.rid,
    push.roomPosition,
    push.thread ?? null,
    JSON.stringify(push.notification),
  )
}

/** Notes that a push was written down, and drops the oldest where too many wait. */
export function wasQueued({ deps }: Pushes, pusher: Pusher): void {
  pusher.waiting += 1
  if (pusher.waiting <= mostWaiting) return
  deps.sql.exec(
    'DELETE FROM pushes WHERE pusher = ?1 AND pos = (SELECT min(pos) FROM pushes WHERE pusher = ?1)',
    pusher.id,
  )
  pusher.waiting -= 1
}

/** Whether a count already waits, that is not on its way. */
export function hasBadgeWaiting({ deps }: Pushes, pusher: Pusher): boolean {
  if (pusher.busy || pusher.waiting === 0) return false
  const waiting = deps.sql.exec(
    "SELECT 1 FROM pushes WHERE pusher = ? AND notification = '{}' LIMIT 1",
    pusher.id,
  )
  return waiting.toArray().length > 0
}

/** Whether something waits for a pusher at a position. */
export function isWaitingAt({ deps }: Pushes, pusher: Pusher, position: number): boolean {
  return (
    deps.sql.exec('SELECT 1 FROM pushes WHERE pusher = ? AND pos = ?', pusher.id, position).toArray().length >
    0
  )
}

type PushRow = {
  pos: number
  ts: number
  rid: number
  room_pos: number
  thread: string | null
  notification: string
}

/** The push that goes out next. */
export function nextPush(pushes: Pushes, pusher: Pusher): Push | undefined {
  const [push] = waitingPushes(pushes, pusher, 1)
  if (!push) pusher.waiting = 0
  return push
}

/** The pushes that wait, in their order. */
export function waitingPushes({ deps }: Pushes, pusher: Pusher, limit = mostWaiting): Push[] {
  const rows = deps.sql.exec<PushRow>(
    'SELECT pos, ts, rid, room_pos, thread, notification FROM pushes WHERE pusher = ? ORDER BY pos LIMIT ?',
    pusher.id,
    limit,
  )
  return rows.toArray().map((row) => ({
    position: row.pos,
    ts: row.ts,
    rid: row.rid,
    roomPosition: row.room_pos,
    ...(row.thread === null ? {} : { thread: row.thread }),
    // Written by `queuePush` alone.
    notification: JSON.parse(row.notification) as StoredNotification,
  }))
}

/** Forgets a push that is done with. */
export function dropPush({ deps }: Pushes, pusher: Pusher, { position }: Push): void {
  deps.sql.exec('DELETE FROM pushes WHERE pusher = ? AND pos = ?', pusher.id, position)
  pusher.waiting = Math.max(0, pusher.waiting - 1)
}

/** Forgets all that waits for a pusher. */
export function dropWaiting({ deps }: Pushes, pusher: Pusher): void {
  deps.sql.exec('DELETE FROM pushes WHERE pusher = ?', pusher.id)
  pusher.waiting = 0
}
