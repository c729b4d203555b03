// The event closest to a point in time, and whether a closer one may be missing here.
// Specification: client-server API, GET /rooms/{roomId}/timestamp_to_event; server-server API, GET /timestamp_to_event/{roomId}.

import type { EventId } from '../matrix/event.ts'
import type { RoomContext } from './context.ts'
import { eventByEid, firstOutlier, type StoredEvent } from './events.ts'
import { highestGap, lowestGap, type Gap } from './gaps.ts'
import { requireReadable, viewOf } from './visibility.ts'

export interface TimestampRequest {
  /** Milliseconds. */
  readonly timestamp: number
  readonly direction: 'f' | 'b'
}

export interface EventAtTime {
  readonly eventId: EventId
  /** Milliseconds. */
  readonly timestamp: number
}

export interface TimestampAnswer {
  readonly found?: EventAtTime
  /** Whether the right to read rests on having been in the room: the Worker refuses then if the user forgot it. */
  readonly left: boolean
  /** The gap in the timeline that a closer event may be missing from. */
  readonly gap?: Gap
}

// How many of the closest events are tried until one is found that the user may see.
const longestSearch = 1000

/**
 * The closest event that the user may see, at the timestamp or behind it in the given direction. M_FORBIDDEN for users who may
 * not read the room.
 */
export function eventByTimestamp(
  room: RoomContext,
  userId: string,
  request: TimestampRequest,
): TimestampAnswer {
  const view = viewOf(room, userId)
  const { upTo, left } = requireReadable(room, userId, view)
  let found: StoredEvent | undefined
  for (const stored of closestInTime(room, request, upTo)) {
    if (!view.sees(stored)) continue
    found = stored
    break
  }
  const gap = gapBeside(room, request, found, upTo)
  return {
    left,
    ...(found ? { found: atTime(found) } : {}),
    ...(gap ? { gap } : {}),
  }
}

/** What an answer says of an event. */
export function atTime({ event }: StoredEvent): EventAtTime {
  return { eventId: event.event_id, timestamp: event.origin_server_ts }
}

/**
 * The events closest to a time, the closest first; their `eid` is their position. Of events with the same time the nearest in
 * the order of the room comes first. Reads every row of the room: times are what servers claim, so that positions do
 * not follow them, and an index would cost a row an event.
 */
export function* closestInTime(
  room: RoomContext,
  { timestamp, direction }: TimestampRequest,
  upTo: number,
): Generator<StoredEvent> {
  const [comparison, order] = direction === 'f' ? ['>=', 'ASC'] : ['<=', 'DESC']
  const rows = room.sql
    .exec<{ pos: number; eid: number }>(
      `SELECT pos, eid FROM (${timeline})
       WHERE pos <= ? AND ts ${comparison} ? ORDER BY ts ${order}, pos ${order} LIMIT ?`,
      upTo,
      timestamp,
      longestSearch,
    )
    .toArray()
  for (const { pos, eid } of rows) yield { ...eventByEid(room, eid), eid: pos }
}

// Each event of the timeline with its position and its time, back-filled ones among them.
const timeline = `
  SELECT eid AS pos, eid, json_extract(json, '$.origin_server_ts') AS ts FROM events
    WHERE eid < ${firstOutlier} AND status = 0
  UNION ALL
  SELECT history.pos, events.eid, json_extract(json, '$.origin_server_ts') AS ts FROM history JOIN events USING (eid)`

/**
 * The gap that a closer event may be missing from, if what is missing has times between those of the events above and below
 * it. Forwards: the first gap below what was found, as long as the event above that gap is not too early. Backwards: the
 * first gap above it, unless something later than asked for lies between.
 */
function gapBeside(
  room: RoomContext,
  { timestamp, direction }: TimestampRequest,
  found: StoredEvent | undefined,
  upTo: number,
): Gap | undefined {
  if (direction === 'f') {
    const gap = highestGap(room, -firstOutlier, found?.eid ?? upTo)
    return gap && anyInTime(room, [gap.pos, gap.pos], '>=', timestamp) ? gap : undefined
  }
  const below = found?.eid ?? -firstOutlier
  const gap = lowestGap(room, below + 1, upTo)
  return gap && !anyInTime(room, [below + 1, gap.pos - 1], '>', timestamp) ? gap : undefined
}

function anyInTime(
  room: RoomContext,
  [lowest, highest]: readonly [number, number],
  comparison: '>=' | '>',
  timestamp: number,
): boolean {
  const rows = room.sql.exec(
    `SELECT 1 FROM (${timeline}) WHERE pos BETWEEN ? AND ? AND ts ${comparison} ? LIMIT 1`,
    lowest,
    highest,
    timestamp,
  )
  return rows.toArray().length > 0
}
