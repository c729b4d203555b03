// The only place that inserts events. One transaction: the event, the forward extremities, the resolved current
// state and the redaction it carries become true together or not at all; a crash leaves the room as it was before.

import type { Event } from '../matrix/event.ts'
import { config } from '../config.ts'
import { forgetLiveEnd, type RoomContext } from './context.ts'
import {
  eventByEid,
  eventStatus,
  firstOutlier,
  forgetEvent,
  forwardExtremities,
  livePosition,
  rememberEvent,
  type EventStatus,
} from './events.ts'
import { armAlarm, cursorsNow, soonMs } from './outbox.ts'
import { applyRedactions } from './redactions.ts'
import { indexRelation } from './relations.ts'
import { resolveStates, type ResolvedState } from './resolve-state.ts'
import {
  eidInState,
  internSlot,
  rememberNewest,
  stateGroup,
  stateGroupRef,
  type StateRef,
} from './state-at.ts'

export interface Appending {
  readonly event: Event
  readonly status: EventStatus
  readonly auth: readonly number[]
  readonly prev: readonly number[]
  /** The state before the event. */
  readonly before: ResolvedState
  /** Known as an auth event or as state alone: it gets no place in the timeline and changes no state. */
  readonly outlier?: boolean
  /** `device transaction` key of a local send, unique in the room. */
  readonly txn?: string
}

/** Appends an event that was checked before. Returns its eid. Call inside `transactionSync` together with the checks. */
export function appendEvent(room: RoomContext, appending: Appending): number {
  const { event, status } = appending
  const eid = appending.outlier ? nextOutlier(room) : livePosition(room) + 1
  const slot = event.state_key === undefined ? null : internSlot(room, event.type, event.state_key)
  const before = stateGroupRef(room, appending.before.base, appending.before.delta)
  const heads = headsAfter(room, appending, eid)
  insert(room, appending, { eid, slot, before, heads })
  if (appending.outlier) return eid
  // From here on `livePosition` includes the event, whose state references are filled in below.
  room.live.position = eid
  room.live.heads = heads
  const after = writeState(room, appending, { eid, slot, before, heads })
  if (!isLinear(appending, { eid, slot, before, heads })) setStateAfter(room, eid, after)
  if (status === eventStatus.accepted) {
    indexRelation(room, eventByEid(room, eid), eid)
    applyRedactions(room, eventByEid(room, eid))
  }
  // What the directory knows of the room is told by the alarm; for all else it comes only in case of a crash.
  armAlarm(room, slot === null ? config(room.env).roomAlarmMs : soonMs)
  return eid
}

interface Placed {
  readonly eid: number
  readonly slot: number | null
  readonly before: StateRef
  readonly heads: readonly number[]
}

// Accepted events replace the extremities they build upon. Soft-failed and rejected ones are never built upon.
function headsAfter(room: RoomContext, { status, prev }: Appending, eid: number): readonly number[] {
  const heads = forwardExtremities(room)
  if (status !== eventStatus.accepted) return heads
  const covered = coveredBy(room, prev)
  return [...heads.filter((head) => !covered.has(head)), eid]
}

// Bounds the walk over what a server of bad will had soft-failed.
const mostCovered = 1000

/** What an event builds upon: its parents, and what is below those of them that never became extremities themselves. */
function coveredBy(room: RoomContext, prev: readonly number[]): ReadonlySet<number> {
  const covered = new Set(prev)
  for (const eid of covered) {
    if (covered.size > mostCovered) break
    const parent = eventByEid(room, eid)
    if (parent.status !== eventStatus.accepted) for (const below of parent.prev) covered.add(below)
  }
  return covered
}

function insert(room: RoomContext, appending: Appending, { eid, slot, before, heads }: Placed): void {
  const { event, status, auth, prev, txn, outlier } = appending
  const json = JSON.stringify(event.pdu)
  const told = outlier ? undefined : cursorsNow(room)
  // On the line, the state after an event is the current state at its position.
  const stateAfter = isLinear(appending, { eid, slot, before, heads }) ? eid : before
  rememberEvent(
    room,
    {
      eid,
      event,
      status,
      slot,
      auth,
      prev,
      stateBefore: before,
      stateAfter,
      txn: txn ?? null,
      redactedBy: null,
    },
    json.length,
  )
  room.sql.exec(
    `INSERT INTO events (eid, event_id, json, status, slot, auth, prev, state_before, state_after, heads, txn, told)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    eid,
    event.event_id,
    json,
    status,
    slot,
    JSON.stringify(auth),
    JSON.stringify(prev),
    before,
    stateAfter,
    JSON.stringify(heads),
    txn ?? null,
    told ? JSON.stringify(told) : null,
  )
  if (told) room.live.told = told
}

/** Whether the event is the room's single extremity and builds upon the current state: nothing needs resolving. */
function isLinear({ status }: Appending, { eid, before, heads }: Placed): boolean {
  return status === eventStatus.accepted && heads.length === 1 && before >= 0 && before === eid - 1
}

/** Writes what the event changes in the current state. Returns the reference of the state after the event. */
function writeState(room: RoomContext, appending: Appending, placed: Placed): StateRef {
  const { eid, slot } = placed
  if (isLinear(appending, placed)) {
    if (slot !== null) writeSlot(room, slot, eid, eid)
    return eid
  }
  const after = stateAfter(room, appending, placed)
  if (appending.status !== eventStatus.accepted) return after
  // The event's own row must say what state it leaves behind before the extremities are resolved.
  setStateAfter(room, eid, after)
  const current = resolveStates(
    room,
    placed.heads.map((head) => (head === eid ? after : eventByEid(room, head).stateAfter)),
  )
  writeCurrent(room, current, eid)
  return placed.heads.length === 1 ? eid : after
}

function setStateAfter(room: RoomContext, eid: number, after: StateRef): void {
  room.sql.exec('UPDATE events SET state_after = ? WHERE eid = ?', after, eid)
  forgetEvent(room, eid)
}

function stateAfter(room: RoomContext, { status }: Appending, { eid, slot, before }: Placed): StateRef {
  // Rejected events never enter the state.
  if (slot === null || status === eventStatus.rejected) return before
  const group = stateGroup(room, before)
  return stateGroupRef(room, group.base, new Map([...group.delta, [slot, eid]]))
}

function writeCurrent(room: RoomContext, current: ResolvedState, eid: number): void {
  const previous = eid - 1
  const changed = new Set(current.delta.keys())
  // The resolved state may stand on an older position than the line's end: what came since is in question too.
  for (const row of room.sql
    .exec<{ slot: number }>(
      'SELECT DISTINCT slot FROM state WHERE pos > ? AND pos <= ?',
      current.base,
      previous,
    )
    .toArray()) {
    changed.add(row.slot)
  }
  for (const slot of changed) {
    const now = current.delta.get(slot) ?? eidInState(room, current.base, slot)
    if (now !== eidInState(room, previous, slot)) writeSlot(room, slot, eid, now)
  }
}

/** Writes what a slot of the current state holds from a position on. */
export function writeSlot(room: RoomContext, slot: number, position: number, eid: number): void {
  room.sql.exec(
    'INSERT INTO state (slot, pos, eid, membership) VALUES (?, ?, ?, ?)',
    slot,
    position,
    eid,
    eid === 0 ? null : membershipIn(eventByEid(room, eid).event),
  )
  rememberNewest(room, slot, { pos: position, eid })
}

function membershipIn(event: Event): string | null {
  const { membership } = event.content
  return event.type === 'm.room.member' && typeof membership === 'string' ? membership : null
}

function nextOutlier(room: RoomContext): number {
  const { eid } = room.sql
    .exec<{ eid: number | null }>('SELECT max(eid) AS eid FROM events WHERE eid >= ?', firstOutlier)
    .one()
  return eid === null ? firstOutlier : eid + 1
}

/** The state before an event with these parents: the current state itself where they are the extremities. */
export function stateBefore(room: RoomContext, prev: readonly number[]): ResolvedState {
  const heads = forwardExtremities(room)
  // All extremities, and nothing else: what the room already resolved.
  if (prev.length === heads.length && prev.every((eid) => heads.includes(eid))) {
    return { base: livePosition(room), delta: new Map() }
  }
  return resolveStates(
    room,
    prev.map((eid) => eventByEid(room, eid).stateAfter),
  )
}

/**
 * Runs checks and appends as one transaction. What memory knew of the room's live end is dropped when it is rolled
 * back, so that it can never be ahead of the disk.
 */
export function transact<T>(room: RoomContext, work: () => T): T {
  const { alarmAt } = room
  try {
    return room.storage.transactionSync(work)
  } catch (error) {
    forgetLiveEnd(room)
    room.alarmAt = alarmAt
    throw error
  }
}
