// The conflicted state subgraph: all that lies between two conflicted events in the graph of auth events.
// Specification: rooms/v12, "State resolution", Definitions.

import type { EventId } from '../event.ts'

/**
 * The events on any path of auth events from one event of the conflicted state set to another, ends included.
 * Visits each event of the auth chains at most once. `authEvents` answers with an empty list for an event that
 * is not known.
 */
export function conflictedStateSubgraph(
  conflicted: ReadonlySet<EventId>,
  authEvents: (id: EventId) => readonly EventId[],
): Set<EventId> {
  const citedBy = edgesBelow(conflicted, authEvents)
  // What was walked is reached from a conflicted event; walking the edges back from conflicted events that are
  // cited leaves what also leads to one.
  const subgraph = new Set<EventId>()
  for (const id of conflicted) if (citedBy.has(id)) subgraph.add(id)
  // A set is walked in insertion order, also over what is added meanwhile.
  for (const id of subgraph) for (const citing of citedBy.get(id) ?? []) subgraph.add(citing)
  return subgraph
}

/** For each event that an auth chain of the conflicted events reaches: the events there that cite it. */
function edgesBelow(
  conflicted: ReadonlySet<EventId>,
  authEvents: (id: EventId) => readonly EventId[],
): Map<EventId, EventId[]> {
  const citedBy = new Map<EventId, EventId[]>()
  const reached = new Set(conflicted)
  for (const id of reached) {
    for (const cited of authEvents(id)) {
      reached.add(cited)
      const citing = citedBy.get(cited)
      if (citing === undefined) citedBy.set(cited, [id])
      else citing.push(id)
    }
  }
  return citedBy
}
