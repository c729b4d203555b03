// Events that a user was notified of, with what push rules ask about them.
// Specification: client-server API, "Listing Notifications".

import type { PushFacts } from '../hub/room-news.ts'
import type { EventId } from '../matrix/event.ts'
import { withRelations } from './bundle.ts'
import { isIgnoredBy, syncEvent, type Viewer } from './client-event.ts'
import { findIdentity, type RoomContext } from './context.ts'
import { findEvent, inTimeline } from './events.ts'
import { pushFacts } from './fan-out.ts'
import { viewOf } from './visibility.ts'

export interface NotifiedEventText {
  readonly eventId: EventId
  /** The event for a client, without `room_id`, as JSON text. */
  readonly text: string
  readonly push: PushFacts
}

/** Those of some events that are here and that the viewer may see. */
export function notifiedEvents(
  room: RoomContext,
  viewer: Viewer,
  eventIds: readonly EventId[],
): NotifiedEventText[] {
  // An invite to a room that lives elsewhere.
  if (!findIdentity(room)) return []
  const view = viewOf(room, viewer.userId)
  return eventIds.flatMap((eventId) => {
    const found = findEvent(room, eventId)
    const stored = found && inTimeline(room, found)
    if (!stored || !view.sees(stored) || isIgnoredBy(viewer, stored)) return []
    const event = withRelations(room, { viewer, view }, stored, syncEvent(room, stored, viewer))
    return [{ eventId, text: JSON.stringify(event), push: pushFacts(room, stored) }]
  })
}
