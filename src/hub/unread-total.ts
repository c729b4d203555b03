// How many unread messages a user has across all joined rooms, as push gateways are told. Kept in memory for users with
// pushers: only rooms in which something happened since are counted again.
// Specification: push gateway API, POST /_matrix/push/v1/notify, `counts`.

import type { HubContext } from './context.ts'
import { joinedMembers, joinedRids } from './members.ts'
import { unreadCounts } from './unread.ts'

interface Counted {
  readonly rooms: Map<number, number>
  /** Rooms to be counted again. */
  readonly stale: Set<number>
  total: number
}

const caches = new WeakMap<HubContext, Map<number, Counted>>()
const rememberedUsers = 1000

/** The number of unread messages of a user. */
export function unreadTotal(hub: HubContext, uid: number): number {
  const counted = countedOf(hub, uid)
  for (const rid of counted.stale) {
    const isJoined = joinedMembers(hub, rid).has(uid)
    const count = isJoined ? unreadCounts(hub, uid, rid, hub.position).notifications : 0
    counted.total += count - (counted.rooms.get(rid) ?? 0)
    if (count > 0) counted.rooms.set(rid, count)
    else counted.rooms.delete(rid)
  }
  counted.stale.clear()
  return counted.total
}

/** Has a room counted again for a user. */
export function unreadMayHaveChanged(hub: HubContext, uid: number, rid: number): void {
  caches.get(hub)?.get(uid)?.stale.add(rid)
}

function countedOf(hub: HubContext, uid: number): Counted {
  const cache = caches.get(hub) ?? new Map<number, Counted>()
  caches.set(hub, cache)
  const known = cache.get(uid)
  if (known) return known
  // A bound on memory.
  if (cache.size >= rememberedUsers) cache.clear()
  const fresh: Counted = { rooms: new Map(), stale: new Set(joinedRids(hub, uid)), total: 0 }
  cache.set(uid, fresh)
  return fresh
}
