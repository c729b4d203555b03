// Who says something has read what was said before: in the thread that they speak in, or in the main timeline.
// Specification: client-server API, "Marking notifications as read".

import { type HubContext, nextPosition } from './context.ts'
import { findUser } from './interned.ts'
import { hasPushers, pushCount } from './pushes.ts'
import { ownEvent } from './receipts.ts'
import type { EventNews } from './room-news.ts'
import { unreadMayHaveChanged, unreadTotal } from './unread-total.ts'
import { hasUnread, mainTimeline } from './unread.ts'

/** How many messages a user has not read, if they have a pusher, whose badge shows the number. */
interface Badge {
  readonly uid: number
  readonly unread: number
}

/** The badges of those who send events, as they are before the events are applied. */
export function badgesBefore(hub: HubContext, news: readonly EventNews[]): Badge[] {
  const senders = new Set(news.flatMap((event) => senderOf(hub, event) ?? []))
  return [...senders]
    .filter((uid) => hasPushers(hub, uid))
    .map((uid) => ({ uid, unread: unreadTotal(hub, uid) }))
}

/** Notes what the senders of events have read by sending them. Writes nothing where nothing was unread. Call when they are applied. */
export function readBySending(
  hub: HubContext,
  rid: number,
  news: readonly EventNews[],
  badges: readonly Badge[],
): void {
  const readers = new Set<number>()
  for (const { eventId, sender, thread = mainTimeline, to, ...event } of news) {
    const uid = senderOf(hub, { sender, ...event })
    if (uid === undefined || !isNew(hub, uid, rid, thread)) continue
    // Nobody is told of it: those who wait are told of the event, and of the count with it.
    hub.sql.exec(
      `INSERT OR REPLACE INTO receipts (rid, user_id, type, thread, event_id, ts, room_pos, pos)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      rid,
      sender,
      ownEvent,
      thread,
      eventId,
      hub.now(),
      to,
      // One of its own: a new badge must not take the place of what is pushed of an event.
      nextPosition(hub),
    )
    unreadMayHaveChanged(hub, uid, rid)
    readers.add(uid)
  }
  for (const { uid, unread } of badges) if (readers.has(uid)) pushCount(hub, uid, unread)
}

// State may be set by programs, in all rooms of a user at once, and delayed events are sent when nobody looks.
function senderOf(
  hub: HubContext,
  { transaction, sender, event }: Pick<EventNews, 'transaction' | 'sender' | 'event'>,
): number | undefined {
  return transaction && !Object.hasOwn(event, 'state_key') ? findUser(hub, sender) : undefined
}

/** Up to which log position nothing is unread, by user, room and thread. */
const clear = new WeakMap<HubContext, Map<string, number>>()
const remembered = 10_000

/** Whether the user has anything to read there. What was looked through is not looked through again. */
function isNew(hub: HubContext, uid: number, rid: number, thread: string): boolean {
  const known = clear.get(hub) ?? new Map<string, number>()
  clear.set(hub, known)
  const key = `${uid} ${rid} ${thread}`
  const found = hasUnread(hub, uid, rid, thread, known.get(key) ?? 0)
  // A bound on memory.
  if (known.size >= remembered) known.clear()
  if (found) known.delete(key)
  else known.set(key, hub.position)
  return found
}
