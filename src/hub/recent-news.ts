// The newest events of rooms, kept in memory: a sync that only lacks these is answered without asking the room.

import type { HubContext } from './context.ts'
import type { EventNews } from './room-news.ts'

const newsPerRoom = 20
const cachedRooms = 500
// A bound on memory: large events are not kept.
const largestEvent = 16 * 1024

const caches = new WeakMap<HubContext, Map<number, EventNews[]>>()

/** Keeps an event for the syncs that are about to come. */
export function rememberNews(hub: HubContext, rid: number, news: EventNews): void {
  const cache = caches.get(hub) ?? new Map<number, EventNews[]>()
  caches.set(hub, cache)
  const known = cache.get(rid) ?? []
  cache.delete(rid)
  if (JSON.stringify([news.event, news.senderMember]).length > largestEvent) return
  // A gap in the positions makes everything before it useless, and a redaction takes back something of it: the room knows what.
  const followsOn = known.at(-1)?.to === news.from && news.event['type'] !== 'm.room.redaction'
  const continued = followsOn ? known.slice(1 - newsPerRoom) : []
  cache.set(rid, [...continued, news])
  const [oldest] = cache.keys()
  if (cache.size > cachedRooms && oldest !== undefined) cache.delete(oldest)
}

/** The events after `from` up to and including `to`, or undefined if memory does not hold all of them. */
export function recentNews(hub: HubContext, rid: number, from: number, to: number): EventNews[] | undefined {
  const known = caches
    .get(hub)
    ?.get(rid)
    ?.filter((news) => news.from >= from && news.to <= to)
  return known?.[0]?.from === from && known.at(-1)?.to === to ? known : undefined
}
