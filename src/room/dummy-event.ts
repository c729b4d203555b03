// Events that only hold the room's graph together, as several servers send them. They say nothing, and no client is shown
// them, told of them or notified by them. Not in the specification, which leaves servers free to have event types of their own.

import type { Event } from '../matrix/event.ts'

export const dummyEventType = 'org.matrix.dummy_event'

/** Whether clients are not shown an event. */
export function isHidden({ type, state_key: stateKey }: Event): boolean {
  // As state it would be part of what clients keep.
  return type === dummyEventType && stateKey === undefined
}
