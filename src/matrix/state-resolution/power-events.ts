// Power events: those that might take away what someone may do in the room. They are resolved first.
// Specification: rooms/v2, "State resolution", Definitions and step 1 of the algorithm.

import type { Event, EventId } from '../event.ts'
import { stringProperty } from '../json.ts'

/** Whether a state event is a power event. */
export function isPowerEvent(event: Event): boolean {
  // Power levels and join rules; under any other state key than the empty one they give and take nothing.
  if (event.type === 'm.room.power_levels' || event.type === 'm.room.join_rules')
    return event.state_key === ''
  // Kicks, bans and unbans: someone else's membership made `leave` or `ban`.
  if (event.type !== 'm.room.member' || event.sender === event.state_key) return false
  const membership = stringProperty(event.content, 'membership')
  return membership === 'leave' || membership === 'ban'
}

/**
 * The power events of the full conflicted set with what their auth chains hold of that set. The walk does not
 * leave the set: the events between two members of it are members too in v2.1, and in v2 the servers in use agree
 * on stopping there.
 */
export function powerEventsWithAuthChains(fullConflicted: ReadonlyMap<EventId, Event>): Map<EventId, Event> {
  const selected = new Map<EventId, Event>()
  for (const [id, event] of fullConflicted) if (isPowerEvent(event)) selected.set(id, event)
  // A map is walked in insertion order, also over what is added meanwhile.
  for (const event of selected.values()) {
    for (const id of event.auth_events) {
      const cited = fullConflicted.get(id)
      if (cited !== undefined) selected.set(id, cited)
    }
  }
  return selected
}
