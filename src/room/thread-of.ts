// Which thread an event is in. Specification: client-server API, "Threaded read receipts".

import type { Event, UserId } from '../matrix/event.ts'
import type { RoomContext } from './context.ts'
import { findEvent } from './events.ts'
import { relationOf } from './relations.ts'
import { requireJoined } from './room-power.ts'

// As recommended: relations to relations are followed, but not forever.
const maxHops = 3

export interface ThreadQuery {
  readonly userId: UserId
  readonly eventId: string
  /** `main` or the event id of a thread root. */
  readonly threadId: string
}

/** The thread of what is in none. */
export const mainTimeline = 'main'

/**
 * Whether a receipt for an event can be for a thread. M_FORBIDDEN for users who are not joined. What relates to a root
 * otherwise than by the thread may be read with either.
 */
export function isEventInThread(room: RoomContext, { userId, eventId, threadId }: ThreadQuery): boolean {
  requireJoined(room, userId)
  const stored = findEvent(room, eventId)
  if (!stored) return false
  if (threadOf(room, stored.event) === threadId) return true
  return ancestors(room, stored.event).includes(threadId)
}

/** `main` or the event id of the thread's root. */
export function threadOf(room: RoomContext, event: Event): string {
  let current: Event | undefined = event
  for (let hops = 0; current && hops <= maxHops; hops++) {
    const relation = relationOf(current)
    if (!relation) return mainTimeline
    if (relation.relType === 'm.thread') return relation.parent
    current = findEvent(room, relation.parent)?.event
  }
  return mainTimeline
}

/** The event itself and what it relates to, directly or not. */
function ancestors(room: RoomContext, event: Event): string[] {
  const ids: string[] = []
  let current: Event | undefined = event
  for (let hops = 0; current && hops <= maxHops; hops++) {
    ids.push(current.event_id)
    const relation = relationOf(current)
    if (!relation) break
    ids.push(relation.parent)
    current = findEvent(room, relation.parent)?.event
  }
  return ids
}
