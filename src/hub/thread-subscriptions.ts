// The threads that users are subscribed to. A row stays when they unsubscribe, for their other clients, and so that these do
// not subscribe them anew for what was said before.
// Specification: MSC4306 (thread subscriptions), MSC4308 (their way to clients), which are not in the specification yet.

import { MatrixError } from '../errors.ts'
import type { RoomId } from '../matrix/event.ts'
import { type HubContext, nextPosition } from './context.ts'
import { findRoom, internRoom, roomIdOf } from './interned.ts'

/** A thread of a room, named by its root. */
export interface ThreadName {
  readonly roomId: RoomId
  readonly root: string
}

/** What became of a subscription. */
export interface ThreadSubscription extends ThreadName {
  readonly subscribed: boolean
  /** Whether a client made it by itself. */
  readonly automatic: boolean
  /** The position in the log. */
  readonly position: number
}

/** The newest changes of a window, oldest first. */
export interface ThreadSubscriptions {
  readonly changes: readonly ThreadSubscription[]
  /** Where there are more of them: the last position of those. */
  readonly before?: number
}

type Row = { subscribed: number; automatic: number; unsubscribed_at: number | null }

function stored(hub: HubContext, uid: number, { roomId, root }: ThreadName): Row | undefined {
  const rid = findRoom(hub, roomId)
  if (rid === undefined) return undefined
  return hub.sql
    .exec<Row>(
      'SELECT subscribed, automatic, unsubscribed_at FROM thread_subscriptions WHERE uid = ? AND rid = ? AND root = ?',
      uid,
      rid,
      root,
    )
    .toArray()[0]
}

function store(hub: HubContext, uid: number, { roomId, root }: ThreadName, row: Row): void {
  hub.sql.exec(
    `INSERT OR REPLACE INTO thread_subscriptions (uid, rid, root, subscribed, automatic, unsubscribed_at, pos)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    uid,
    internRoom(hub, roomId),
    root,
    row.subscribed,
    row.automatic,
    row.unsubscribed_at,
    nextPosition(hub),
  )
}

/** How a user is subscribed to a thread, undefined where they are not. */
export function threadSubscription(
  hub: HubContext,
  uid: number,
  thread: ThreadName,
): { readonly automatic: boolean } | undefined {
  const row = stored(hub, uid, thread)
  return row?.subscribed === 1 ? { automatic: row.automatic === 1 } : undefined
}

/**
 * Subscribes a user to a thread, automatically where the room position of a cause is given. Whether that changes anything.
 * IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION where the user unsubscribed after the cause.
 */
export function subscribeToThread(hub: HubContext, uid: number, thread: ThreadName, cause?: number): boolean {
  const row = stored(hub, uid, thread)
  const automatic = cause !== undefined
  // What is automatic takes nothing from what was chosen, and comes once.
  if (row?.subscribed === 1 && (automatic || row.automatic === 0)) return false
  if (automatic && row && cause <= (row.unsubscribed_at ?? 0)) {
    throw new MatrixError(
      'IO.ELEMENT.MSC4306.M_CONFLICTING_UNSUBSCRIPTION',
      409,
      'The user has unsubscribed after that event',
    )
  }
  store(hub, uid, thread, { subscribed: 1, automatic: automatic ? 1 : 0, unsubscribed_at: null })
  return true
}

/** Ends a subscription, for all that is said up to a position of the room. Whether there was one. */
export function unsubscribeFromThread(
  hub: HubContext,
  uid: number,
  thread: ThreadName,
  end: number,
): boolean {
  if (stored(hub, uid, thread)?.subscribed !== 1) return false
  store(hub, uid, thread, { subscribed: 0, automatic: 0, unsubscribed_at: end })
  return true
}

/** The newest changes of a user's subscriptions in (since, upTo], at most so many. */
export function threadSubscriptionsSince(
  hub: HubContext,
  uid: number,
  { since, upTo, limit }: { readonly since: number; readonly upTo: number; readonly limit: number },
): ThreadSubscriptions {
  // As with account data: what is new is short in the whole shard, all there is in a user.
  const index = since === 0 ? '' : 'INDEXED BY thread_subscriptions_pos'
  const rows = hub.sql
    .exec<{ rid: number; root: string; subscribed: number; automatic: number; pos: number }>(
      `SELECT rid, root, subscribed, automatic, pos FROM thread_subscriptions ${index}
       WHERE uid = ? AND pos > ? AND pos <= ? ORDER BY pos DESC LIMIT ?`,
      uid,
      since,
      upTo,
      limit + 1,
    )
    .toArray()
  const before = rows.length > limit ? rows.at(-1)?.pos : undefined
  const changes = rows.slice(0, limit).map(({ rid, root, subscribed, automatic, pos }) => ({
    roomId: roomIdOf(hub, rid),
    root,
    subscribed: subscribed === 1,
    automatic: automatic === 1,
    position: pos,
  }))
  return { changes: changes.toReversed(), ...(before === undefined ? {} : { before }) }
}

/** Deletes all subscriptions of a user. Something with a newer position must be written after it. */
export function eraseThreadSubscriptions(hub: HubContext, uid: number): void {
  hub.sql.exec('DELETE FROM thread_subscriptions WHERE uid = ?', uid)
}
