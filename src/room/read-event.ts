// Single events. Specification: client-server API, GET /rooms/{roomId}/event/{eventId}.

import { MatrixError } from '../errors.ts'
import { bundledEvent } from './bundle.ts'
import type { Viewer } from './client-event.ts'
import { findIdentity, type RoomContext } from './context.ts'
import { findEvent, inTimeline, type StoredEvent } from './events.ts'
import type { ReadAnswer } from './read-answer.ts'
import { type View, viewOf } from './visibility.ts'

/** The event with this id. M_NOT_FOUND if there is none, no such room, or none that the viewer may see. */
export function readEvent(room: RoomContext, viewer: Viewer, eventId: string): ReadAnswer {
  // The answer must not tell an unknown room from one that is out of the viewer's sight.
  if (!findIdentity(room)) throw eventNotFound()
  const view = viewOf(room, viewer.userId)
  const stored = visibleEvent(room, view, eventId)
  const left = Number.isFinite(view.lastJoined) && !view.worldReadable
  return { body: JSON.stringify(bundledEvent(room, { viewer, view }, stored)), left }
}

/** An event that may be seen. M_NOT_FOUND otherwise. */
export function visibleEvent(room: RoomContext, view: View, eventId: string): StoredEvent {
  const found = findEvent(room, eventId)
  const stored = found && inTimeline(room, found)
  if (!stored || !view.sees(stored)) throw eventNotFound()
  return stored
}

function eventNotFound(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 404, 'Event not found')
}
