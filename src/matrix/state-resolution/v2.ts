// State resolution v2 (room versions 2 to 11) and v2.1 (room version 12), which differ in two points.
// Specification: rooms/v2 and rooms/v12, "State resolution", Algorithm.

import type { Event, EventId } from '../event.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { conflictedStateSubgraph } from './conflicted-subgraph.ts'
import { iterativeAuthChecks } from './iterative-auth-checks.ts'
import { mainlineSort } from './mainline-sort.ts'
import { powerEventsWithAuthChains } from './power-events.ts'
import { reverseTopologicalSort } from './reverse-topological-sort.ts'
import { slotKey, slotOfKey, type StateConflict, type StateIdLookup } from './state-map.ts'

/** Resolves a conflict by v2 or v2.1, whichever the rules say. See `resolveConflict`. */
export function resolveV2(
  rules: RoomVersionRules,
  conflict: StateConflict,
): Map<string, EventId | undefined> {
  const conflictedKeys = new Set(conflict.conflicted.map(({ slot }) => slotKey(slot.type, slot.state_key)))
  const unconflicted: StateIdLookup = (type, stateKey) =>
    conflictedKeys.has(slotKey(type, stateKey)) ? undefined : conflict.unconflicted(type, stateKey)
  const fullConflicted = fullConflictedSet(rules, conflict)

  // 1. The power events and what they rest on, in reverse topological power order.
  const powerEvents = powerEventsWithAuthChains(fullConflicted)
  const sortedPowerEvents = reverseTopologicalSort(rules, powerEvents, conflict)

  // 2. Applied to the unconflicted state; since v2.1 to an empty one, so that each is judged by the state it was
  //    sent in and not by what came later.
  const base: StateIdLookup = rules.stateResolution === 'v2.1' ? () => undefined : unconflicted
  const start = { base, resolved: new Map<string, EventId>() }
  const partial = iterativeAuthChecks(rules, sortedPowerEvents, start, conflict)

  // 3. The rest, in the order of the mainline of the power levels that came out of step 2.
  const rest = [...fullConflicted.values()].filter((event) => !powerEvents.has(event.event_id))
  const powerLevelsId = partial.get(slotKey('m.room.power_levels', '')) ?? base('m.room.power_levels', '')
  const powerLevels = powerLevelsId === undefined ? undefined : conflict.event(powerLevelsId)
  const sortedRest = mainlineSort(rest, powerLevels, conflict)

  // 4. Applied to the state from step 2.
  const resolved = iterativeAuthChecks(rules, sortedRest, { base, resolved: partial }, conflict)

  // 5. Whatever is unconflicted stays as it was.
  const result = new Map<string, EventId | undefined>()
  for (const key of conflictedKeys) result.set(key, resolved.get(key))
  for (const [key, id] of resolved) {
    const slot = slotOfKey(key)
    if (unconflicted(slot.type, slot.state_key) === undefined) result.set(key, id)
  }
  return result
}

/** The conflicted state set, the auth difference and since v2.1 the conflicted state subgraph. */
function fullConflictedSet(rules: RoomVersionRules, conflict: StateConflict): Map<EventId, Event> {
  const conflictedSet = new Set(
    conflict.conflicted.flatMap(({ events }) => events.filter((id) => id !== undefined)),
  )
  const subgraph =
    rules.stateResolution === 'v2.1'
      ? conflictedStateSubgraph(conflictedSet, (id) => conflict.event(id)?.auth_events ?? [])
      : []
  const events = new Map<EventId, Event>()
  for (const id of new Set([...conflictedSet, ...conflict.authDifference, ...subgraph])) {
    const event = conflict.event(id)
    if (event?.state_key !== undefined && !conflict.rejected(id)) events.set(id, event)
  }
  return events
}
