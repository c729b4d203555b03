// The last two tie-breaks that the orderings of state resolution share.
// Specification: rooms/v2, "State resolution": reverse topological power ordering, mainline ordering.

import type { Event } from '../event.ts'

/** Earlier `origin_server_ts` first, then the smaller event id: a total order, for ids are unique. */
export function compareByTimeThenId(x: Event, y: Event): number {
  if (x.origin_server_ts !== y.origin_server_ts) return x.origin_server_ts < y.origin_server_ts ? -1 : 1
  if (x.event_id === y.event_id) return 0
  return x.event_id < y.event_id ? -1 : 1
}
