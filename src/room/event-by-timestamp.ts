// The event closest to a point in time. Specification: client-server API, GET /rooms/{roomId}/timestamp_to_event.

import { MatrixError } from '../errors.ts'
import type { Viewer } from './client-event.ts'
import type { RoomContext } from './context.ts'
import { eventByEid, firstOutlier } from './events.ts'
import type { ReadAnswer } from './read-answer.ts'
import { requireReadable, viewOf } from './visibility.ts'

export interface TimestampRequest {
  /** Milliseconds. */
  readonly timestamp: number
  readonly direction: 'f' | 'b'
}

// How many of the closest events are tried until one is found that the user may see.
const longestSearch = 1000

/**
 * Id and time of the closest event that the viewer may see, at the timestamp or behind it in the given direction.
 * M_FORBIDDEN for users who may not read the room, M_NOT_FOUND where there is none.
 */
export function eventByTimestamp(room: RoomContext, viewer: Viewer, request: TimestampRequest): ReadAnswer {
  const view = viewOf(room, viewer.userId)
  const { upTo, left } = requireReadable(room, viewer.userId, view)
  for (const eid of closestInTime(room, request, upTo)) {
    const stored = eventByEid(room, eid)
    if (!view.sees(stored)) continue
    const { event_id, origin_server_ts } = stored.event
    return { body: JSON.stringify({ event_id, origin_server_ts }), left }
  }
  throw new MatrixError('M_NOT_FOUND', 404, 'No event was found from that time in that direction')
}

/**
 * The eids of the events closest to a time, the closest first. Of events with the same time the nearest in the order of
 * the room comes first. Reads every row of the room: times are what servers claim, so that positions do not follow
 * them, and an index would cost a row an event.
 */
export function closestInTime(
  room: RoomContext,
  { timestamp, direction }: TimestampRequest,
  upTo: number,
): number[] {
  const [comparison, order] = direction === 'f' ? ['>=', 'ASC'] : ['<=', 'DESC']
  return room.sql
    .exec<{ eid: number }>(
      `SELECT eid, json_extract(json, '$.origin_server_ts') AS ts FROM events
       WHERE eid BETWEEN ? AND ? AND status = 0 AND ts ${comparison} ?
       ORDER BY ts ${order}, eid ${order} LIMIT ?`,
      -firstOutlier,
      upTo,
      timestamp,
      longestSearch,
    )
    .toArray()
    .map((row) => row.eid)
}
