// The iterative auth checks: builds a state by applying sorted events one after another where they are allowed.
// Specification: rooms/v2, "State resolution", Definitions; "Rejected events".

import { authorise } from '../event-auth/authorise.ts'
import type { Event, EventId, StateLookup } from '../event.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { authState, type AuthState } from './auth-state.ts'
import { slotKey, type EventSource, type StateIdLookup } from './state-map.ts'

/** A state under construction: `resolved` lies over `base`, which is never changed. */
export interface PartialState {
  readonly base: StateIdLookup
  readonly resolved: ReadonlyMap<string, EventId>
}

/** Applies the events in order to a state, skipping what the authorisation rules refuse; answers with `resolved`. */
export function iterativeAuthChecks(
  rules: RoomVersionRules,
  sorted: readonly Event[],
  initial: PartialState,
  source: EventSource,
): Map<string, EventId> {
  const resolved = new Map(initial.resolved)
  const state = { base: initial.base, resolved }
  for (const event of sorted) {
    if (event.state_key === undefined || !isAllowed(rules, event, state, source)) continue
    resolved.set(slotKey(event.type, event.state_key), event.event_id)
  }
  return resolved
}

/**
 * Whether an event is allowed in a state. Where an event that the rules ask for is not known, the answer is no:
 * an empty slot means something to the rules, the default power levels for one, and this slot is not empty.
 */
function isAllowed(rules: RoomVersionRules, event: Event, state: PartialState, source: EventSource): boolean {
  const unknown: string[] = []
  let cited: AuthState | undefined
  const lookup: StateLookup = (type, stateKey) => {
    const key = slotKey(type, stateKey)
    const id = state.resolved.get(key) ?? state.base(type, stateKey)
    // A slot that the state does not have is filled from the event's own auth events.
    cited ??= id === undefined ? authState(rules, event, source) : undefined
    const found = id === undefined ? cited?.lookup(type, stateKey) : source.event(id)
    if (found === undefined && (id !== undefined || cited?.complete === false)) unknown.push(key)
    return found
  }
  return authorise(rules, event, lookup).ok && unknown.length === 0
}
