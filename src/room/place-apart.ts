// A single event of long ago, put into the middle of the hole below a gap: what lies above it and below it may be filled in
// later, from both gaps. Until then the state there is what is known of it from above.
// Server-server API, GET /timestamp_to_event/{roomId}.

import type { EventId } from '../matrix/event.ts'
import { transact } from './append.ts'
import { isPlaced, place, positionedEid } from './back-fill.ts'
import type { RoomContext } from './context.ts'
import { eventByEid, eventStatus, findEvent, firstOutlier, type StoredEvent } from './events.ts'
import { highestGap, openGap, type Gap } from './gaps.ts'
import { beginHistory } from './history-state.ts'

// Leaves room for what will be filled in on both sides. Holes are 2^20 wide and more; each event put into one halves it.
const narrowest = 2 ** 14

/**
 * Gives an event that was received as history a place below a gap. Whether it has one now: an event that is not here, was
 * rejected, or is younger than the one above the gap gets none.
 */
export function placeApart(room: RoomContext, gapPosition: number, eventId: EventId): boolean {
  const stored = findEvent(room, eventId)
  if (!stored || stored.status === eventStatus.rejected) return false
  if (isPlaced(room, eventId)) return true
  return transact(room, () => {
    const gap = gapFor(room, gapPosition, stored)
    const floor = gap && highestBelow(room, gap.pos)
    if (!gap || floor === undefined || gap.pos - floor < narrowest) return false
    beginHistory(room, gap.pos, above(room, gap).stateBefore)
    const position = floor + Math.floor((gap.pos - floor) / 2)
    place(room, stored, position)
    const prevs = stored.event.prev_events.filter((id) => !isPlaced(room, id))
    if (prevs.length > 0) openGap(room, { pos: position, prevs, servers: gap.servers })
    return true
  })
}

/** The lowest of the gaps from a position down whose upper event is younger, by their depths. */
function gapFor(room: RoomContext, position: number, { event }: StoredEvent): Gap | undefined {
  let found: Gap | undefined
  for (
    let gap = highestGap(room, -firstOutlier, position);
    gap && above(room, gap).event.depth > event.depth;
    gap = highestGap(room, -firstOutlier, gap.pos - 1)
  ) {
    found = gap
  }
  return found
}

function above(room: RoomContext, { pos }: Gap): StoredEvent {
  return eventByEid(room, positionedEid(room, pos))
}

/** The highest position below another one that an event has. */
function highestBelow(room: RoomContext, position: number): number {
  const { below } = room.sql
    .exec<{ below: number | null }>(
      `SELECT max(below) AS below FROM (
         SELECT max(eid) AS below FROM events WHERE eid < ?1 UNION ALL SELECT max(pos) FROM history WHERE pos < ?1)`,
      position,
    )
    .one()
  return below ?? -firstOutlier
}
