// Room states as maps from slot to event id, and what a fork leaves in conflict.
// Specification: rooms/v2, "State resolution", Definitions.

import type { Event, EventId, StateSlot } from '../event.ts'

/** A whole room state: `slotKey` to the event in that slot. */
export type StateMap = ReadonlyMap<string, EventId>

/** Looks up the event id in a slot of some room state. */
export type StateIdLookup = (type: string, stateKey: string) => EventId | undefined

/**
 * A slot as one string. The length stands in front because both parts may hold any character: no choice of a
 * separator could keep two different slots apart.
 */
export function slotKey(type: string, stateKey: string): string {
  return `${type.length}:${type}${stateKey}`
}

/** The slot that `slotKey` made a string of. */
export function slotOfKey(key: string): StateSlot {
  const colon = key.indexOf(':')
  const end = colon + 1 + Number(key.slice(0, colon))
  return { type: key.slice(colon + 1, end), state_key: key.slice(end) }
}

/** Where the algorithm finds events. Both answers must stay the same throughout one resolution. */
export interface EventSource {
  /** Any event of the states and their auth chains; in version 12 rooms the create event as well. */
  readonly event: (id: EventId) => Event | undefined
  /** Whether an event was rejected on receipt: it takes no part then, neither as candidate nor as auth event. */
  readonly rejected: (id: EventId) => boolean
}

/** One slot on which forks differ: the event each fork has there, undefined where it has none, in fork order. */
export interface ConflictedSlot {
  readonly slot: StateSlot
  readonly events: readonly (EventId | undefined)[]
}

/** What is to be resolved, without the parts of the state that no fork disputes. */
export interface StateConflict extends EventSource {
  /** Every slot on which the forked states differ, each once. */
  readonly conflicted: readonly ConflictedSlot[]
  /** What all forks agree on; it is never asked about a conflicted slot. */
  readonly unconflicted: StateIdLookup
  /** The auth difference over the full states (`authDifference` is the plain way to it). Version 1 ignores it. */
  readonly authDifference: ReadonlySet<EventId>
}

/** Splits states into the slots on which they differ and the lookup of those on which all agree. */
export function splitStates(states: readonly StateMap[]): Pick<StateConflict, 'conflicted' | 'unconflicted'> {
  const keys = new Set(states.flatMap((state) => [...state.keys()]))
  const conflicted: ConflictedSlot[] = []
  const agreed = new Map<string, EventId>()
  for (const key of keys) {
    const events = states.map((state) => state.get(key))
    const first = events[0]
    // Unconflicted is only what stands in every state, with the same event.
    if (first !== undefined && events.every((id) => id === first)) agreed.set(key, first)
    else conflicted.push({ slot: slotOfKey(key), events })
  }
  return { conflicted, unconflicted: (type, stateKey) => agreed.get(slotKey(type, stateKey)) }
}
