// The auth difference of room states, computed the plain way by walking every auth chain.
// Specification: rooms/v2, "State resolution", Definitions: auth chain, auth difference.

import type { EventId } from '../event.ts'

/**
 * The events that are in the auth chain of some of the states but not of all. The events of a state count as part
 * of its chain. By the letter they would not; it makes a difference only for an event on which all states agree
 * and which only some of them cite, and there the servers in use all read it this way, so the room would split.
 * `authEvents` answers with an empty list for an event that is not known.
 */
export function authDifference(
  states: readonly Iterable<EventId>[],
  authEvents: (id: EventId) => readonly EventId[],
): Set<EventId> {
  const reachedBy = new Map<EventId, number>()
  for (const state of states) {
    for (const id of withAuthChains(state, authEvents)) reachedBy.set(id, (reachedBy.get(id) ?? 0) + 1)
  }
  const difference = new Set<EventId>()
  for (const [id, count] of reachedBy) if (count < states.length) difference.add(id)
  return difference
}

function withAuthChains(
  ids: Iterable<EventId>,
  authEvents: (id: EventId) => readonly EventId[],
): Set<EventId> {
  const reached = new Set(ids)
  // A set is walked in insertion order, also over what is added meanwhile: it is its own queue.
  for (const id of reached) for (const cited of authEvents(id)) reached.add(cited)
  return reached
}
