// Room state at any point of the graph.
//
// A state reference is an integer. Not negative: the resolved current state as it was at that position of the room
// (table `state`, which keeps every slot's history: one indexed look-up at any time). Negative: a group off that
// line, at a fork (table `state_groups`: a position plus what differs from it). Almost every event of almost every
// room lies on the line, so that the common path is O(1) and costs no rows. Far below all of them: references into
// back-filled history (history-state.ts).

import type { Event } from '../matrix/event.ts'
import type { RoomContext } from './context.ts'
import { eventByEid, firstOutlier, livePosition, type StoredEvent } from './events.ts'
import { historyDelta, isHistoryRef, slotInHistory } from './history-state.ts'

export type StateRef = number

interface StateGroup {
  readonly base: number
  readonly delta: ReadonlyMap<number, number>
}

// A bound on memory; what was dropped is read again.
const rememberedSlots = 10_000

/** The integer of a slot, or undefined if no event ever had it. */
export function findSlot(room: RoomContext, type: string, stateKey: string): number | undefined {
  const key = `${type}\u0000${stateKey}`
  const known = room.slots.get(key)
  if (known !== undefined) return known === 0 ? undefined : known
  const found = room.sql
    .exec<{ slot: number }>('SELECT slot FROM slots WHERE type = ? AND state_key = ?', type, stateKey)
    .toArray()[0]?.slot
  rememberSlot(room, key, found ?? 0)
  return found
}

/** The integer of a slot, given out now if it is new. */
export function internSlot(room: RoomContext, type: string, stateKey: string): number {
  const known = findSlot(room, type, stateKey)
  if (known !== undefined) return known
  const { slot } = room.sql
    .exec<{ slot: number }>(
      'INSERT INTO slots (type, state_key) VALUES (?, ?) RETURNING slot',
      type,
      stateKey,
    )
    .one()
  rememberSlot(room, `${type}\u0000${stateKey}`, slot)
  return slot
}

function rememberSlot(room: RoomContext, key: string, slot: number): void {
  if (room.slots.size >= rememberedSlots) room.slots.clear()
  room.slots.set(key, slot)
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
  if (isHistoryRef(ref)) {
    const history = historyDelta(room, ref)
    const { base, delta } = stateGroup(room, history.state)
    return { base, delta: new Map([...delta, ...history.delta]) }
  }
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
  const newest = newestEntry(room, slot)
  if (newest.pos <= position) return newest.eid
  const row = room.sql
    .exec<{ eid: number }>(
      'SELECT eid FROM state WHERE slot = ? AND pos <= ? ORDER BY pos DESC LIMIT 1',
      slot,
      position,
    )
    .toArray()[0]
  return row?.eid ?? 0
}

function newestEntry(room: RoomContext, slot: number): { readonly pos: number; readonly eid: number } {
  const known = room.newest.get(slot)
  if (known) return known
  const row = room.sql
    .exec<{ pos: number; eid: number }>(
      'SELECT pos, eid FROM state WHERE slot = ? ORDER BY pos DESC LIMIT 1',
      slot,
    )
    .toArray()[0]
  const entry = row ?? { pos: -Infinity, eid: 0 }
  rememberNewest(room, slot, entry)
  return entry
}

/** Notes the newest entry of a slot. Call with every row written to `state`. */
export function rememberNewest(
  room: RoomContext,
  slot: number,
  entry: { readonly pos: number; readonly eid: number },
): void {
  if (room.newest.size >= rememberedSlots) room.newest.clear()
  room.newest.set(slot, entry)
}

/** The eid in a slot of a state, 0 for none. */
export function eidInState(room: RoomContext, ref: StateRef, slot: number): number {
  if (ref >= 0) return eidAtPosition(room, ref, slot)
  if (isHistoryRef(ref)) {
    const held = slotInHistory(room, slot)(ref)
    return 'eid' in held ? held.eid : eidInState(room, held.state, slot)
  }
  const { base, delta } = stateGroup(room, ref)
  return delta.get(slot) ?? eidAtPosition(room, base, slot)
}

/** Whether the state after an event is known: outliers are known without where they stand. */
export function knowsState({ eid, stateAfter }: StoredEvent): boolean {
  return eid < firstOutlier || stateAfter !== 0
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

/** The eid in a slot of a state that is given as a position and what differs from it, 0 for none. */
export function eidInDelta(
  room: RoomContext,
  { base, delta }: StateGroup,
  type: string,
  stateKey: string,
): number {
  const slot = findSlot(room, type, stateKey)
  return slot === undefined ? 0 : (delta.get(slot) ?? eidAtPosition(room, base, slot))
}

/** The event in a slot of such a state. */
export function eventInDelta(
  room: RoomContext,
  state: StateGroup,
  type: string,
  stateKey: string,
): Event | undefined {
  const eid = eidInDelta(room, state, type, stateKey)
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
