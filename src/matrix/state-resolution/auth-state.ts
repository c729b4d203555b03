// The little room state that an event's own auth_events make up.
// Specification: rooms/v2, "State resolution": reverse topological power ordering, iterative auth checks.

import type { Event, EventId, StateLookup } from '../event.ts'
import type { RoomVersionRules } from '../room-version.ts'
import { slotKey, type EventSource } from './state-map.ts'

/** `complete` tells whether every auth event could be used, so that an empty slot really is an empty slot. */
export interface AuthState {
  readonly lookup: StateLookup
  readonly complete: boolean
}

/** Looks into the auth events of an event, without those that are unknown, rejected or of another room. */
export function authState(rules: RoomVersionRules, event: Event, source: EventSource): AuthState {
  const slots = new Map<string, Event>()
  let complete = true
  for (const id of impliedAuthEvents(rules, event)) {
    const cited = source.event(id)
    // A rejected auth event is never used.
    if (cited === undefined || source.rejected(id) || cited.room_id !== event.room_id) complete = false
    else if (cited.state_key !== undefined) slots.set(slotKey(cited.type, cited.state_key), cited)
  }
  return { lookup: (type, stateKey) => slots.get(slotKey(type, stateKey)), complete }
}

/** Since v12 no event cites the create event: the room id names it. */
function impliedAuthEvents(rules: RoomVersionRules, event: Event): readonly EventId[] {
  if (!rules.roomIdIsCreateHash || event.type === 'm.room.create') return event.auth_events
  return [`$${event.room_id.slice(1)}` as EventId, ...event.auth_events]
}

/** The power levels event among the auth events of an event, if there is one and it is known. */
export function citedPowerLevels(event: Event, source: EventSource): Event | undefined {
  for (const id of event.auth_events) {
    const cited = source.event(id)
    if (cited?.type === 'm.room.power_levels' && cited.state_key === '') return cited
  }
  return undefined
}
