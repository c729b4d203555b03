// State resolution v1 (room version 1).
// Specification: rooms/v1, "State resolution".

import { createHash } from 'node:crypto'
import { authorise } from '../event-auth/authorise.ts'
import type { Event, EventId, StateLookup } from '../event.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { slotKey, type StateConflict } from './state-map.ts'

/** The passes, each of which is judged by the results of those before; then come all other types. */
const passes = ['m.room.power_levels', 'm.room.join_rules', 'm.room.member']

/** Resolves a conflict by v1. See `resolveConflict`. */
export function resolveV1(
  rules: RoomVersionRules,
  conflict: StateConflict,
): Map<string, EventId | undefined> {
  const resolved = new Map<string, EventId | undefined>()
  const conflicts = new Map<string, Event[]>()
  for (const { slot, events } of conflict.conflicted) {
    const key = slotKey(slot.type, slot.state_key)
    const candidates = usableEvents(events, conflict)
    // The union of the states: an event is in conflict only with another event, not with an empty slot.
    if (candidates.length > 1) conflicts.set(key, sortByDepth(candidates))
    resolved.set(key, candidates.length === 1 ? candidates[0]?.event_id : undefined)
  }
  const slotsInDispute = [...conflicts]
  for (const type of passes) {
    const ofType = slotsInDispute.filter(([, events]) => events[0]?.type === type)
    settle(ofType, (key, events) => lastBeforeRefusal(rules, key, events, resolved, conflict), resolved)
  }
  const others = slotsInDispute.filter(([, events]) => !passes.includes(events[0]?.type ?? ''))
  settle(others, (_, events) => highestAllowed(rules, events, resolved, conflict), resolved)
  return resolved
}

/** Decides slots that do not see each other's outcome, so that their order does not matter. */
function settle(
  slots: readonly [string, Event[]][],
  decide: (key: string, events: readonly Event[]) => EventId | undefined,
  resolved: Map<string, EventId | undefined>,
): void {
  const decided = slots.map(([key, events]) => [key, decide(key, events)] as const)
  for (const [key, id] of decided) resolved.set(key, id)
}

function usableEvents(ids: readonly (EventId | undefined)[], conflict: StateConflict): Event[] {
  return [...new Set(ids)]
    .filter((id) => id !== undefined && !conflict.rejected(id))
    .map((id) => (id === undefined ? undefined : conflict.event(id)))
    .filter((event) => event !== undefined)
}

/** Ascending depth, then descending SHA-1 of the event id. */
function sortByDepth(events: readonly Event[]): Event[] {
  return events
    .map((event) => ({ event, sha1: createHash('sha1').update(event.event_id).digest('hex') }))
    .sort((x, y) => x.event.depth - y.event.depth || (x.sha1 > y.sha1 ? -1 : 1))
    .map(({ event }) => event)
}

/** Takes the first unseen, then each next one as long as it is allowed on top of the one before. */
function lastBeforeRefusal(
  rules: RoomVersionRules,
  key: string,
  events: readonly Event[],
  resolved: ReadonlyMap<string, EventId | undefined>,
  conflict: StateConflict,
): EventId | undefined {
  let [winner] = events
  for (const event of events.slice(1)) {
    const state = new Map(resolved).set(key, winner?.event_id)
    if (!isAllowed(rules, event, state, conflict)) break
    winner = event
  }
  return winner?.event_id
}

/** Takes the one of highest depth and lowest SHA-1 that is allowed; none where all are refused. */
function highestAllowed(
  rules: RoomVersionRules,
  events: readonly Event[],
  resolved: ReadonlyMap<string, EventId | undefined>,
  conflict: StateConflict,
): EventId | undefined {
  return events.findLast((event) => isAllowed(rules, event, resolved, conflict))?.event_id
}

/** Whether an event is allowed in the state resolved so far; not when an event the rules ask for is unknown. */
function isAllowed(
  rules: RoomVersionRules,
  event: Event,
  resolved: ReadonlyMap<string, EventId | undefined>,
  conflict: StateConflict,
): boolean {
  const unknown: string[] = []
  const lookup: StateLookup = (type, stateKey) => {
    const key = slotKey(type, stateKey)
    const id = resolved.has(key) ? resolved.get(key) : conflict.unconflicted(type, stateKey)
    const found = id === undefined ? undefined : conflict.event(id)
    if (id !== undefined && found === undefined) unknown.push(key)
    return found
  }
  return authorise(rules, event, lookup).ok && unknown.length === 0
}
