// A look at the graph of a room, for diagnosis and tests.

import { identity, type RoomContext } from './context.ts'
import { eventByEid, extremityIds, livePosition } from './events.ts'
import { allState, currentState, slotOf } from './state-at.ts'

export interface RoomDescription {
  readonly version: string
  /** The live end of the room. */
  readonly position: number
  readonly extremities: string[]
  /** `type|state_key` → what stands there; `membership` for member events. */
  readonly state: Record<string, { event_id: string; membership?: string }>
}

/** Describes the room as it stands. Reads its whole state. */
export function describeRoom(room: RoomContext): RoomDescription {
  const state = [...allState(room, currentState(room))].map(([slot, eid]) => {
    const { type, state_key: stateKey } = slotOf(room, slot)
    const { event } = eventByEid(room, eid)
    const { membership } = event.content
    return [
      `${type}|${stateKey}`,
      { event_id: event.event_id, ...(typeof membership === 'string' ? { membership } : {}) },
    ] as const
  })
  return {
    version: identity(room).rules.id,
    position: livePosition(room),
    extremities: extremityIds(room),
    state: Object.fromEntries(state),
  }
}
