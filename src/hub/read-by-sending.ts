// Who says something has read what was said before: in the thread that they speak in, or in the main timeline. The log's row of
// the event says so, and costs nothing more.
// Specification: client-server API, "Marking notifications as read".

import type { HubContext } from './context.ts'
import { findUser } from './interned.ts'
import { hasPushers, pushCount } from './pushes.ts'
import type { EventNews } from './room-news.ts'
import { unreadTotal } from './unread-total.ts'

/** How many messages a user has not read, if they have a pusher, whose badge shows the number. */
interface Badge {
  readonly uid: number
  readonly unread: number
}

/** The badges of those who send events, as they are before the events are applied. */
export function badgesBefore(hub: HubContext, news: readonly EventNews[]): Badge[] {
  const senders = new Set(news.flatMap((event) => readerBySending(hub, event) ?? []))
  return [...senders]
    .filter((uid) => hasPushers(hub, uid))
    .map((uid) => ({ uid, unread: unreadTotal(hub, uid) }))
}

/** Tells pushers of those who have less to read than before. Call when the events are applied, and counted. */
export function pushBadges(hub: HubContext, badges: readonly Badge[]): void {
  for (const { uid, unread } of badges) if (unread > 0) pushCount(hub, uid, unread)
}

/**
 * The user who has read by sending an event. State may be set by programs, in all rooms of a user at once, and delayed events are sent
 * when nobody looks.
 */
export function readerBySending(
  hub: HubContext,
  { transaction, sender, event }: Pick<EventNews, 'transaction' | 'sender' | 'event'>,
): number | undefined {
  return transaction && !Object.hasOwn(event, 'state_key') ? findUser(hub, sender) : undefined
}
