// The state of a room as its members, and those who were members, may read it.
// Specification: client-server API, GET /rooms/{roomId}/state and /rooms/{roomId}/state/{eventType}/{stateKey}.

import { MatrixError } from '../errors.ts'
import { clientEvent, type Viewer } from './client-event.ts'
import type { RoomContext } from './context.ts'
import { eventByEid } from './events.ts'
import { eventList, stateEvents } from './list-state.ts'
import { textStream, type ReadAnswer } from './read-answer.ts'
import { eidAtPosition, findSlot } from './state-at.ts'
import { stateVisibleAt } from './visibility.ts'

/** The whole state as a JSON list of events. M_FORBIDDEN for users who may not read it. */
export function readState(room: RoomContext, viewer: Viewer): ReadAnswer {
  const { upTo, left } = stateVisibleAt(room, viewer.userId)
  return { body: textStream(eventList(room, viewer, stateEvents(room, upTo))), left }
}

export interface StateEventRequest {
  readonly type: string
  readonly stateKey: string
  /** The content of the event alone, or all of it. */
  readonly format: 'content' | 'event'
}

/** One state event. M_FORBIDDEN for users who may not read the state, M_NOT_FOUND for an empty slot. */
export function readStateEvent(room: RoomContext, viewer: Viewer, request: StateEventRequest): ReadAnswer {
  const { upTo, left } = stateVisibleAt(room, viewer.userId)
  const slot = findSlot(room, request.type, request.stateKey)
  const eid = slot === undefined ? 0 : eidAtPosition(room, upTo, slot)
  if (eid === 0) throw new MatrixError('M_NOT_FOUND', 404, 'The room has no such state')
  const stored = eventByEid(room, eid)
  const body = request.format === 'event' ? clientEvent(room, stored, viewer) : stored.event.content
  return { body: JSON.stringify(body), left }
}
