// What was said in a room from a position on, for those who look into it without being in it, and for clients of old.
// Specification: client-server API, "Room Previews", GET /events.

import { clientEvent, isIgnoredBy, type Viewer } from './client-event.ts'
import type { RoomContext } from './context.ts'
import type { ReadAnswer } from './read-answer.ts'
import { scanTimeline } from './scan-timeline.ts'
import { formatToken } from './tokens.ts'
import { requireReadable, viewOf } from './visibility.ts'

export interface RoomEventsRequest {
  /** The position that the client has read up to; the end of the room where absent. */
  readonly from?: number
  readonly limit: number
}

/** The members `end` and `chunk` as a JSON object, with `more` where there may be more at once. M_FORBIDDEN for users who may not read the room. */
export function roomEvents(
  room: RoomContext,
  viewer: Viewer,
  request: RoomEventsRequest,
): ReadAnswer & { readonly body: string } {
  const view = viewOf(room, viewer.userId)
  const { upTo, left } = requireReadable(room, viewer.userId, view)
  const from = Math.min(request.from ?? upTo, upTo)
  const scan = { direction: 'f', lowest: from + 1, highest: upTo, limit: request.limit } as const
  const { events, end, more } = scanTimeline(room, viewer, view, scan)
  const chunk = events
    // State is shown whoever sent it: without it the room cannot be understood.
    .filter((stored) => !isIgnoredBy(viewer, stored))
    .map((stored) => clientEvent(room, stored, viewer))
  return { body: JSON.stringify({ end: formatToken(more ? end : upTo), chunk, more }), left }
}
