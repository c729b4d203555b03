// Older events put into the hole below a gap, newest first. They are verified and judged by their auth events; they change
// neither the state nor the extremities.
// Specification: server-server API, "Backfilling and retrieving missing events".

import type { Event, EventId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { transact } from './append.ts'
import { identity, type RoomContext } from './context.ts'
import { eventByEid, eventStatus, findEvent, forgetEvent, inTimeline, type StoredEvent } from './events.ts'
import { closeGap, highestGap, openGap, type Gap } from './gaps.ts'
import { receiveOutliers } from './outliers.ts'
import { applyRedactions } from './redactions.ts'
import { indexRelation } from './relations.ts'
import type { ServerKeySet } from './receive-pdu.ts'

/**
 * Fills the gap at a position with what another server gave. Returns how many events found their place. Auth events
 * that are missing must have been handed in as outliers before; an event that cannot be judged ends the filling there.
 */
export function backFill(
  room: RoomContext,
  gapPosition: number,
  pdus: readonly JsonObject[],
  keys: ServerKeySet,
): number {
  identity(room)
  // What is new comes in as an outlier first, and so passes all the checks that look at the event itself.
  receiveOutliers(room, pdus, keys)
  return transact(room, () => {
    const gap = highestGap(room, gapPosition, gapPosition)
    return gap ? fill(room, gap) : 0
  })
}

function fill(room: RoomContext, gap: Gap): number {
  const above = eventByEid(room, positionedEid(room, gap.pos))
  let position = gap.pos
  let placed = 0
  const open = new Set<EventId>(gap.prevs)
  for (let next = newest(room, open); next; next = newest(room, open)) {
    position = position > 0 && position - 1 <= 1 ? -1 : position - 1
    place(room, next, position, above.stateBefore)
    placed += 1
    open.delete(next.event.event_id)
    for (const id of next.event.prev_events) if (!isPlaced(room, id)) open.add(id)
  }
  closeGap(room, gap.pos)
  // The rest goes on being missing, further down. An empty answer leaves the gap where it was.
  if (open.size > 0) openGap(room, { ...gap, pos: position, prevs: [...open] })
  return placed
}

/** The deepest of the missing events that is here by now, and may be shown. */
function newest(room: RoomContext, open: ReadonlySet<EventId>): StoredEvent | undefined {
  const here = [...open].flatMap((id) => findEvent(room, id) ?? [])
  return here
    .filter(({ status }) => status !== eventStatus.rejected)
    .sort((a, b) => b.event.depth - a.event.depth || compareIds(a.event, b.event))[0]
}

function compareIds(a: Event, b: Event): number {
  return a.event_id < b.event_id ? -1 : 1
}

// The state before it is taken to be that above the gap: it decides alone about who may see the event.
function place(room: RoomContext, stored: StoredEvent, position: number, stateBefore: number): void {
  room.sql.exec('INSERT OR IGNORE INTO history (pos, eid) VALUES (?, ?)', position, stored.eid)
  room.sql.exec(
    'UPDATE events SET status = ?, state_before = ?, state_after = ? WHERE eid = ?',
    eventStatus.accepted,
    stateBefore,
    stateBefore,
    stored.eid,
  )
  forgetEvent(room, stored.eid)
  room.hasHistory = true
  indexRelation(room, eventByEid(room, stored.eid), position)
  applyRedactions(room, eventByEid(room, stored.eid))
}

function isPlaced(room: RoomContext, id: EventId): boolean {
  const stored = findEvent(room, id)
  return stored !== undefined && inTimeline(room, stored) !== undefined
}

function positionedEid(room: RoomContext, position: number): number {
  return (
    room.sql.exec<{ eid: number }>('SELECT eid FROM history WHERE pos = ?', position).toArray()[0]?.eid ??
    position
  )
}
