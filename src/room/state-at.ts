// Room state at any point of the graph.
//
// A state reference is an integer. Not negative: the resolved current state as it was at that position of the room
// (table `state`, which keeps every slot's history: one indexed look-up at any time). Negative: a group off that
// line, at a fork (table `state_groups`: a position plus what differs from it). Almost every event of almost every
// room lies on the line, so that the common path is O(1) and costs no rows.

import type { Event } from '../matrix/event.ts'
import type { RoomContext } from './context.ts'
import { eventByEid, livePosition } from './events.ts'

export type StateRef = number

interface StateGroup {
  readonly base: number
  readonly delta: ReadonlyMap<number, number>
}

/** The integer of a slot, or undefined if no event ever had it. */
export function findSlot(room: RoomContext, type: string, stateKey: string): number | undefined {
  return room.sql
    .exec<{ slot: number }>('SELECT slot FROM slots WHERE type = ? AND state_key = ?', type, stateKey)
    .toArray()[0]?.slot
}

/** The integer of a slot, given out now if it is new. */
export function internSlot(room: RoomContext, type: string, stateKey: string): number {
  return (
    findSlot(room, type, stateKey) ??
    room.sql
      .exec<{ slot: number }>(
        'INSERT INTO slots (type, state_key) VALUES (?, ?) RETURNING slot',
        type,
        stateKey,
      )
      .one().slot
  )
}

/** The type and state key behind a slot's integer. */
export function slotOf(room: RoomContext, slot: number): { type: string; state_key: string } {
  return room.sql
    .exec<{ type: string; state_key: string }>('SELECT type, state_key FROM slots WHERE slot = ?', slot)
    .one()
}

/** The group a reference stands for: a position alone for references on the line. */
export function stateGroup(room: RoomContext, ref: StateRef): StateGroup {
  if (ref >= 0) return { base: ref, delta: new Map() }
  const row = room.sql
    .exec<{ base: number; delta: string }>('SELECT base, delta FROM state_groups WHERE id = ?', -ref)
    .one()
  // Written by `stateGroupRef` alone.
  return { base: row.base, delta: new Map(JSON.parse(row.delta) as [number, number][]) }
}

/** The reference of a base with changes laid over; the base itself where there are none. Writes a row otherwise. */
export function stateGroupRef(room: RoomContext, base: number, delta: ReadonlyMap<number, number>): StateRef {
  if (delta.size === 0) return base
  const { id } = room.sql
    .exec<{ id: number }>(
      'INSERT INTO state_groups (base, delta) VALUES (?, ?) RETURNING id',
      base,
      JSON.stringify([...delta]),
    )
    .one()
  return -id
}

/** The eid in a slot of the current state as of a position, 0 for none. */
export function eidAtPosition(room: RoomContext, position: number, slot: number): number {
  const row = room.sql
    .exec<{ eid: number }>(
      'SELECT eid FROM state WHERE slot = ? AND pos <= ? ORDER BY pos DESC LIMIT 1',
      slot,
      position,
    )
    .toArray()[0]
  return row?.eid ?? 0
}

/** The eid in a slot of a state, 0 for none. */
export function eidInState(room: RoomContext, ref: StateRef, slot: number): number {
  if (ref >= 0) return eidAtPosition(room, ref, slot)
  const { base, delta } = stateGroup(room, ref)
  return delta.get(slot) ?? eidAtPosition(room, base, slot)
}

/** The event in a slot of a state. */
export function eventInState(
  room: RoomContext,
  ref: StateRef,
  type: string,
  stateKey: string,
): Event | undefined {
  const slot = findSlot(room, type, stateKey)
  if (slot === undefined) return undefined
  const eid = eidInState(room, ref, slot)
  return eid === 0 ? undefined : eventByEid(room, eid).event
}

/** The event in a slot of a state that is given as a position and what differs from it. */
export function eventInDelta(
  room: RoomContext,
  { base, delta }: StateGroup,
  type: string,
  stateKey: string,
): Event | undefined {
  const slot = findSlot(room, type, stateKey)
  if (slot === undefined) return undefined
  const eid = delta.get(slot) ?? eidAtPosition(room, base, slot)
  return eid === 0 ? undefined : eventByEid(room, eid).event
}

/** A look-up over one state, for the auth rules. */
export function stateLookup(room: RoomContext, ref: StateRef) {
  return (type: string, stateKey: string) => eventInState(room, ref, type, stateKey)
}

/** The reference of the current state. */
export function currentState(room: RoomContext): StateRef {
  return livePosition(room)
}

/** An event of the current state. */
export function currentEvent(room: RoomContext, type: string, stateKey = ''): Event | undefined {
  return eventInState(room, currentState(room), type, stateKey)
}

/** All eids of a state. Reads a row a slot: only for answers that list the whole state. */
export function allState(room: RoomContext, ref: StateRef): Map<number, number> {
  const { base, delta } = stateGroup(room, ref)
  const rows = room.sql.exec<{ slot: number; eid: number }>(
    `SELECT slot, eid, max(pos) FROM state WHERE pos <= ? GROUP BY slot`,
    base,
  )
  const result = new Map<number, number>()
  for (const { slot, eid } of rows) if (eid !== 0) result.set(slot, eid)
  for (const [slot, eid] of delta) {
    if (eid === 0) result.delete(slot)
    else result.set(slot, eid)
  }
  return result
}

/** The slots whose content in the current state differs between two positions, with what they hold at `to` (0: nothing). */
export function stateDelta(room: RoomContext, from: number, to: number): Map<number, number> {
  const rows = room.sql.exec<{ slot: number }>(
    'SELECT DISTINCT slot FROM state WHERE pos > ? AND pos <= ?',
    from,
    to,
  )
  const result = new Map<number, number>()
  for (const { slot } of rows.toArray()) {
    const eid = eidAtPosition(room, to, slot)
    if (eid !== eidAtPosition(room, from, slot)) result.set(slot, eid)
  }
  return result
}
