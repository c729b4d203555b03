// The reverse topological power ordering: causes before effects, the more powerful sender first.
// Specification: rooms/v2, "State resolution", Definitions.

import type { Event, EventId } from '../event.ts'
import { userPowerLevel } from '../power-levels.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { authState } from './auth-state.ts'
import { popHeap, pushHeap } from './binary-heap.ts'
import { compareByTimeThenId } from './event-order.ts'
import type { EventSource } from './state-map.ts'

interface Vertex {
  readonly event: Event
  /** Power level of the sender by the event's own auth events; infinite for creators since v12. */
  readonly power: number
  /** Those that cite this one. */
  readonly citedBy: Vertex[]
  /** How many auth events within the set have not been sorted yet. */
  waiting: number
}

/**
 * Sorts events by the DAG of their auth events, earliest first, with Kahn's algorithm and a heap: O(n log n).
 * Events in a cycle (which no honest server can make) are left out.
 */
export function reverseTopologicalSort(
  rules: RoomVersionRules,
  events: ReadonlyMap<EventId, Event>,
  source: EventSource,
): Event[] {
  const candidates: Vertex[] = []
  for (const vertex of authGraph(rules, events, source)) {
    if (vertex.waiting === 0) pushHeap(candidates, vertex, compareVertices)
  }
  const sorted: Event[] = []
  for (;;) {
    const vertex = popHeap(candidates, compareVertices)
    if (vertex === undefined) return sorted
    sorted.push(vertex.event)
    for (const citing of vertex.citedBy) {
      citing.waiting -= 1
      if (citing.waiting === 0) pushHeap(candidates, citing, compareVertices)
    }
  }
}

function authGraph(
  rules: RoomVersionRules,
  events: ReadonlyMap<EventId, Event>,
  source: EventSource,
): Iterable<Vertex> {
  const vertices = new Map<EventId, Vertex>()
  for (const [id, event] of events) {
    const power = userPowerLevel(rules, event.sender, authState(rules, event, source).lookup)
    vertices.set(id, { event, power, citedBy: [], waiting: 0 })
  }
  for (const vertex of vertices.values()) {
    for (const id of new Set(vertex.event.auth_events)) {
      const cited = vertices.get(id)
      if (cited === undefined) continue
      cited.citedBy.push(vertex)
      vertex.waiting += 1
    }
  }
  return vertices.values()
}

/** Greater power first, then earlier time, then smaller event id. */
function compareVertices(x: Vertex, y: Vertex): number {
  // Not a subtraction: two creators have infinite power, and their difference would be no number.
  if (x.power !== y.power) return x.power > y.power ? -1 : 1
  return compareByTimeThenId(x.event, y.event)
}
