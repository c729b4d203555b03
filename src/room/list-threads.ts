// The threads of a room, the one with the newest event first. Specification: client-server API, "Querying threads in a room".

import { redact } from '../matrix/redaction.ts'
import { parseEvent } from '../matrix/event-format.ts'
import { bundledEvent, type Reader } from './bundle.ts'
import type { Viewer } from './client-event.ts'
import { identity, type RoomContext } from './context.ts'
import { findEvent, inTimeline, type StoredEvent } from './events.ts'
import type { ReadAnswer } from './read-answer.ts'
import { formatToken } from './tokens.ts'
import { requireReadable, viewOf } from './visibility.ts'

export interface ThreadsRequest {
  readonly include: 'all' | 'participated'
  readonly limit: number
  /** The position of the token to go on from. */
  readonly from?: number
}

// Roots that the user may not see are passed over; bounds how many in one call.
const mostPassed = 1000

/** One page of thread roots as a JSON object. M_FORBIDDEN for users who may not read the room. */
export function listThreads(room: RoomContext, viewer: Viewer, request: ThreadsRequest): ReadAnswer {
  const view = viewOf(room, viewer.userId)
  const { upTo, left } = requireReadable(room, viewer.userId, view)
  const reader: Reader = { viewer, view }
  const chunk: string[] = []
  let next: number | undefined
  for (const { parent, latest } of threads(room, viewer, request, upTo)) {
    const root = rootOf(room, reader, parent)
    if (!root) continue
    if (chunk.length === request.limit) {
      next = latest
      break
    }
    chunk.push(JSON.stringify(bundledEvent(room, reader, root)))
  }
  const more = next === undefined ? '' : `,"next_batch":"${formatToken(next)}"`
  return { body: `{"chunk":[${chunk.join()}]${more}}`, left }
}

function threads(
  room: RoomContext,
  { userId, ignored = [] }: Viewer,
  { include, from }: ThreadsRequest,
  upTo: number,
): { parent: string; latest: number }[] {
  return room.sql
    .exec<{ parent: string; latest: number }>(
      `SELECT parent, max(pos) AS latest FROM relations
       WHERE threaded = 1 AND pos <= ?1 AND sender NOT IN (SELECT value FROM json_each(?2))
       GROUP BY parent
       HAVING latest <= ?5 AND (?3 IS NULL OR max(sender = ?3) = 1
         OR (SELECT json_extract(json, '$.sender') FROM events WHERE event_id = parent) = ?3)
       ORDER BY latest DESC LIMIT ?4`,
      upTo,
      JSON.stringify(ignored),
      include === 'participated' ? userId : null,
      mostPassed,
      from ?? upTo,
    )
    .toArray()
}

/** The root of a thread as its reader may see it: redacted where they ignore its sender. */
function rootOf(room: RoomContext, { viewer, view }: Reader, eventId: string): StoredEvent | undefined {
  const found = findEvent(room, eventId)
  const stored = found && inTimeline(room, found)
  if (!stored || !view.sees(stored)) return undefined
  if (!viewer.ignored?.includes(stored.event.sender)) return stored
  const { rules, roomId } = identity(room)
  const event = parseEvent(redact(stored.event.pdu, rules), rules, stored.event.event_id)
  return { ...stored, event: { ...event, room_id: roomId } }
}
