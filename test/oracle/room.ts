// A room as it is put to an oracle, and kept as a fixture: events and the states to be resolved.

import type { Event, EventId, RoomId } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { stringProperty } from '../../src/matrix/json.ts'
import type { RoomVersionId } from '../../src/matrix/room-version.ts'
import type { StateMap } from '../../src/matrix/state-resolution/resolve.ts'
import type { History, Merge } from './history.ts'

export interface Room {
  readonly version: RoomVersionId
  readonly events: readonly RoomEvent[]
  /** Sets of states to resolve, each state as the ids of its events. */
  readonly merges: readonly (readonly (readonly EventId[])[])[]
}

/** An event with what our server reads from it beside its wire form. `room_id` only where the wire form has it. */
export interface RoomEvent extends Omit<Event, 'room_id'> {
  readonly room_id?: RoomId
  readonly pdu: JsonObject
  readonly rejected: boolean
}

/** The room of a history: its state events and those of its merges that are asked for, all if none are named. */
export function roomOf(history: History, merges: readonly Merge[] = history.merges): Room {
  const events = history.events
    .filter((event) => event.state_key !== undefined)
    .map(({ room_id, ...event }) => ({
      ...event,
      ...(stringProperty(event.pdu, 'room_id') === undefined ? {} : { room_id }),
      rejected: history.server.rejected(event.event_id),
    }))
  return {
    version: history.rules.id,
    events,
    merges: merges.map(({ states }) => states.map((state) => [...state.values()])),
  }
}

/** A disagreement as it is kept in test/fixtures/state-resolution. */
export interface Fixture {
  /** Who differs, and what the specification says. */
  readonly why: string
  readonly version: RoomVersionId
  readonly events: readonly {
    readonly event_id: EventId
    readonly rejected: boolean
    readonly pdu: JsonObject
  }[]
  /** The states to resolve, each as the ids of its events. */
  readonly states: readonly (readonly EventId[])[]
  /** The resolved state by the specification: sorted event ids. */
  readonly expected: readonly string[]
}

/** A merge of a history as a fixture. */
export function fixtureOf(history: History, merge: Merge, why: string): Fixture {
  const { version, events, merges } = roomOf(history, [merge])
  return {
    why,
    version,
    events: events.map(({ event_id, rejected, pdu }) => ({ event_id, rejected, pdu })),
    states: merges[0] ?? [],
    expected: sortedIds(merge.resolved),
  }
}

/** A state in the form in which oracles answer. */
export function sortedIds(state: StateMap): string[] {
  return [...state.values()].sort()
}
