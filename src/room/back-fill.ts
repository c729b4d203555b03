// Older events put into the hole below a gap, newest first. They pass the checks that look at the event and its auth events;
// what was the state before them is worked out from the state above (history-state.ts), so that it decides about who may see
// them, but not about whether they are accepted. They change neither the state nor the extremities.
// Specification: server-server API, "Backfilling and retrieving missing events".

import type { Event, EventId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { transact } from './append.ts'
import { identity, type RoomContext } from './context.ts'
import { eventByEid, eventStatus, findEvent, forgetEvent, inTimeline, type StoredEvent } from './events.ts'
import { closeGap, highestGap, openGap, type Gap } from './gaps.ts'
import { beginHistory, completeHistory, historyRef, slotInHistory, writeHistory } from './history-state.ts'
import { receiveOutliers } from './outliers.ts'
import { applyRedactions } from './redactions.ts'
import { indexRelation } from './relations.ts'
import type { Receipt, ServerKeySet } from './receive-pdu.ts'
import { eidInState } from './state-at.ts'

// Bounds the work of one call.
const mostVisited = 1000

/**
 * Receives what another server gave of older events, without giving it a place: `incomplete` names auth events that have to
 * be handed in first, as outliers.
 */
export function receiveHistory(
  room: RoomContext,
  pdus: readonly JsonObject[],
  keys: ServerKeySet,
): Receipt[] {
  // Events of old may name more parents and auth events than are allowed today.
  return receiveOutliers(room, pdus, keys, 'history')
}

/**
 * Fills the gap at a position with what was received. Returns how many events found their place; an event that is not here,
 * or could not be judged, ends the filling there.
 */
export function backFill(room: RoomContext, gapPosition: number): number {
  identity(room)
  return transact(room, () => {
    const gap = highestGap(room, gapPosition, gapPosition)
    return gap ? fill(room, gap) : 0
  })
}

function fill(room: RoomContext, gap: Gap): number {
  beginHistory(room, gap.pos, eventByEid(room, positionedEid(room, gap.pos)).stateBefore)
  let position = gap.pos
  let placed = 0
  const open = new Set<EventId>(gap.prevs)
  for (let visited = 0; visited < mostVisited; visited++) {
    const next = newest(room, open)
    if (!next) break
    open.delete(next.event.event_id)
    // Rejected events are shown to nobody, and others may build upon them: they are passed by.
    if (next.status !== eventStatus.rejected) {
      position = position > 0 && position - 1 <= 1 ? -1 : position - 1
      place(room, next, position)
      placed += 1
    }
    for (const id of next.event.prev_events) if (!isPlaced(room, id)) open.add(id)
  }
  closeGap(room, gap.pos)
  // The rest goes on being missing, further down. An empty answer leaves the gap where it was.
  if (open.size > 0) openGap(room, { ...gap, pos: position, prevs: [...open] })
  return placed
}

/** The deepest of the missing events that is here by now. */
function newest(room: RoomContext, open: ReadonlySet<EventId>): StoredEvent | undefined {
  const here = [...open].flatMap((id) => findEvent(room, id) ?? [])
  return here.sort((a, b) => b.event.depth - a.event.depth || compareIds(a.event, b.event))[0]
}

function compareIds(a: Event, b: Event): number {
  return a.event_id < b.event_id ? -1 : 1
}

/** Gives an event its place in history. What it says of the state goes for the positions from there on. */
export function place(room: RoomContext, stored: StoredEvent, position: number): void {
  takeOutOfState(room, stored, position)
  room.sql.exec('INSERT OR IGNORE INTO history (pos, eid) VALUES (?, ?)', position, stored.eid)
  room.sql.exec(
    'UPDATE events SET status = ?, state_before = ?, state_after = ? WHERE eid = ?',
    eventStatus.accepted,
    historyRef(position - 1),
    historyRef(position),
    stored.eid,
  )
  forgetEvent(room, stored.eid)
  room.hasHistory = true
  indexRelation(room, eventByEid(room, stored.eid), position)
  applyRedactions(room, eventByEid(room, stored.eid))
}

/** Below its position, a state event is not in the state. */
function takeOutOfState(room: RoomContext, stored: StoredEvent, position: number): void {
  const { slot, eid, event } = stored
  if (slot === null) return
  if (event.type === 'm.room.create') completeHistory(room, position)
  const above = slotInHistory(room, slot)(historyRef(position))
  const held = 'eid' in above ? above : { eid: eidInState(room, above.state, slot), sure: true }
  // One that was not in force afterwards had lost to another at a fork.
  if (held.sure && held.eid !== eid) return
  writeHistory(room, slot, position, { eid, prior: replacedBy(room, stored) })
}

const citesWhatItReplaces = ['m.room.create', 'm.room.member', 'm.room.power_levels']

/** What a state event replaced, 0 for nothing. Null where it is not known before that is back-filled as well. */
function replacedBy(room: RoomContext, { auth, slot, event }: StoredEvent): number | null {
  const cited = auth.find((eid) => eventByEid(room, eid).slot === slot)
  if (cited !== undefined) return cited
  return citesWhatItReplaces.includes(event.type) ? 0 : null
}

/** Whether an event is here and part of the timeline. */
export function isPlaced(room: RoomContext, id: EventId): boolean {
  const stored = findEvent(room, id)
  return stored !== undefined && inTimeline(room, stored) !== undefined
}

/** The eid of the event at a position. */
export function positionedEid(room: RoomContext, position: number): number {
  return (
    room.sql.exec<{ eid: number }>('SELECT eid FROM history WHERE pos = ?', position).toArray()[0]?.eid ??
    position
  )
}
