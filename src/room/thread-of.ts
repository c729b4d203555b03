// Which thread an event is in. Specification: client-server API, "Threaded read receipts".

import type { UserId } from '../matrix/event.ts'
import { objectProperty, stringProperty } from '../matrix/json.ts'
import type { RoomContext } from './context.ts'
import { findEvent } from './events.ts'
import { requireJoined } from './room-power.ts'

// As recommended: relations to relations are followed, but not forever.
const maxHops = 3

export interface ThreadQuery {
  readonly userId: UserId
  readonly eventId: string
  /** `main` or the event id of a thread root. */
  readonly threadId: string
}

/** Whether a receipt for an event can be for a thread. M_FORBIDDEN for users who are not joined. */
export function isEventInThread(room: RoomContext, { userId, eventId, threadId }: ThreadQuery): boolean {
  requireJoined(room, userId)
  const thread = threadOf(room, eventId, maxHops)
  // A root is read in the main timeline as well as in its thread.
  return thread !== undefined && (thread === threadId || eventId === threadId)
}

/** `main` or the event id of the thread's root; undefined for an event that is not known. */
function threadOf(room: RoomContext, eventId: string, hops: number): string | undefined {
  const stored = findEvent(room, eventId)
  if (!stored) return undefined
  const relation = objectProperty(stored.event.content, 'm.relates_to')
  const parent = stringProperty(relation, 'event_id')
  const type = stringProperty(relation, 'rel_type')
  if (parent === undefined || type === undefined) return 'main'
  if (type === 'm.thread') return parent
  return hops === 0 ? 'main' : (threadOf(room, parent, hops - 1) ?? 'main')
}
