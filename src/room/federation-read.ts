// What other servers are given of a room: its events in wire form and templates of events for them to sign.
// Specification: server-server API, "Retrieving events", "Joining Rooms".

import { MatrixError } from '../errors.ts'
import { parseEvent } from '../matrix/event-format.ts'
import type { EventId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { eventFields, type EventDraft } from './build-event.ts'
import { identity, type RoomContext } from './context.ts'
import { acceptedEvent } from './events.ts'
import { authoriseAt, newEventPlace } from './new-event-place.ts'

/** An accepted event in wire form as JSON text. M_NOT_FOUND where there is none. */
export function pduText(room: RoomContext, eventId: string): string {
  return JSON.stringify(acceptedEvent(room, eventId).event.pdu)
}

/**
 * A template for an event that a user of another server is about to sign, as JSON text.
 * M_FORBIDDEN where the auth rules would refuse the event.
 */
export function eventTemplate(room: RoomContext, draft: EventDraft): string {
  const { rules } = identity(room)
  const place = newEventPlace(room)
  const { fields } = eventFields(room, draft, place)
  const event: JsonObject = { ...fields, hashes: {}, signatures: {} }
  // The id is the signer's to give; no auth rule looks at it.
  const verdict = authoriseAt(room, parseEvent(event, rules, '$template' as EventId), place)
  if (!verdict.ok) throw new MatrixError('M_FORBIDDEN', 403, verdict.reason)
  return JSON.stringify(fields)
}
