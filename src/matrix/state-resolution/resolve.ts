// State resolution: from the states after several events to the one state that follows from them all. Pure and
// synchronous; events come through closures, and only what is in dispute is ever touched, so that the cost follows
// the conflict and not the size of the room.
// Specification: rooms/v1 (v1), rooms/v2 to rooms/v11 (v2), rooms/v12 (v2.1), "State resolution".

import type { EventId } from '../event.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { authDifference } from './auth-difference.ts'
import { splitStates, type EventSource, type StateConflict, type StateMap } from './state-map.ts'
import { resolveV1 } from './v1.ts'
import { resolveV2 } from './v2.ts'

export { slotKey, type StateConflict, type StateMap } from './state-map.ts'

/**
 * Resolves a conflict. For each conflicted slot the answer holds the event that wins, or undefined where the slot
 * ends empty. It may hold further slots: those which no fork has now but which an event of the auth difference
 * fills. Slots on which the forks agree never change. Does not depend on the order of forks or slots; never throws
 * on missing events: what cannot be checked does not enter.
 */
export function resolveConflict(
  rules: RoomVersionRules,
  conflict: StateConflict,
): Map<string, EventId | undefined> {
  return rules.stateResolution === 'v1' ? resolveV1(rules, conflict) : resolveV2(rules, conflict)
}

/** Resolves whole states held in memory: for tests and small rooms. No states resolve to the empty state. */
export function resolve(
  rules: RoomVersionRules,
  states: readonly StateMap[],
  event: EventSource['event'],
  rejected: EventSource['rejected'],
): StateMap {
  const { conflicted, unconflicted } = splitStates(states)
  const difference =
    conflicted.length === 0 || rules.stateResolution === 'v1'
      ? new Set<EventId>()
      : authDifference(
          states.map((state) => state.values()),
          (id) => event(id)?.auth_events ?? [],
        )
  const resolved = new Map(states[0])
  if (conflicted.length === 0) return resolved
  const conflict = { conflicted, unconflicted, authDifference: difference, event, rejected }
  for (const [key, winner] of resolveConflict(rules, conflict)) {
    if (winner === undefined) resolved.delete(key)
    else resolved.set(key, winner)
  }
  return resolved
}
