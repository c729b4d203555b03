// State resolution at work: several states of the graph become one, on the slots in which they differ alone.
// Specification: server-server API, "Room State Resolution"; the algorithms are in matrix/state-resolution.

import type { Event, EventId } from '../matrix/event.ts'
import { resolveConflict, slotKey } from '../matrix/state-resolution/resolve.ts'
import { authDifference } from './auth-difference.ts'
import { identity, type RoomContext } from './context.ts'
import { eventByEid, eventStatus, findEvent } from './events.ts'
import {
  eidAtPosition,
  eidInState,
  findSlot,
  internSlot,
  slotOf,
  stateGroup,
  type StateRef,
} from './state-at.ts'

/** A state as a position of the line and what differs from it. */
export interface ResolvedState {
  readonly base: number
  readonly delta: ReadonlyMap<number, number>
}

/**
 * Resolves several states into one. The result's base is the newest base of them; nothing is written.
 * O(1) for a single state, else proportional to what changed between the bases plus the deltas.
 */
export function resolveStates(room: RoomContext, refs: readonly StateRef[]): ResolvedState {
  const distinct = [...new Set(refs)]
  const [only] = distinct
  if (only === undefined) return { base: 0, delta: new Map() }
  if (distinct.length === 1) return stateGroup(room, only)
  const base = Math.max(...distinct.map((ref) => stateGroup(room, ref).base))
  const values = slotsInQuestion(room, distinct, base)
  const resolved = resolveSlots(room, distinct, values)
  const delta = new Map<number, number>()
  for (const [slot, eid] of resolved) if (eid !== eidAtPosition(room, base, slot)) delta.set(slot, eid)
  return { base, delta }
}

/** For every slot that may differ between the states: what each of them holds there. */
function slotsInQuestion(room: RoomContext, refs: readonly StateRef[], base: number): Map<number, number[]> {
  const groups = refs.map((ref) => stateGroup(room, ref))
  const oldest = Math.min(...groups.map((group) => group.base))
  const slots = new Set(
    room.sql
      .exec<{ slot: number }>('SELECT DISTINCT slot FROM state WHERE pos > ? AND pos <= ?', oldest, base)
      .toArray()
      .map((row) => row.slot),
  )
  for (const { delta } of groups) for (const slot of delta.keys()) slots.add(slot)
  return new Map([...slots].map((slot) => [slot, refs.map((ref) => eidInState(room, ref, slot))]))
}

function resolveSlots(
  room: RoomContext,
  refs: readonly StateRef[],
  values: ReadonlyMap<number, readonly number[]>,
): Map<number, number> {
  const result = new Map<number, number>()
  const conflicted = new Map<number, readonly number[]>()
  for (const [slot, eids] of values) {
    const [first] = eids
    if (first !== undefined && eids.every((eid) => eid === first)) result.set(slot, first)
    else conflicted.set(slot, eids)
  }
  if (conflicted.size === 0) return result
  for (const [slot, eid] of resolveConflicted(room, refs, conflicted)) result.set(slot, eid)
  return result
}

function resolveConflicted(
  room: RoomContext,
  refs: readonly StateRef[],
  conflicted: ReadonlyMap<number, readonly number[]>,
): Map<number, number> {
  const { rules } = identity(room)
  const [anyRef] = refs
  if (anyRef === undefined) throw new Error('no states to resolve')
  const idOf = (eid: number): EventId | undefined =>
    eid === 0 ? undefined : eventByEid(room, eid).event.event_id
  const resolved = resolveConflict(rules, {
    conflicted: [...conflicted].map(([slot, eids]) => ({ slot: slotOf(room, slot), events: eids.map(idOf) })),
    // Slots that do not differ hold the same in each of the states.
    unconflicted: (type, stateKey) => {
      const slot = findSlot(room, type, stateKey)
      if (slot === undefined || conflicted.has(slot)) return undefined
      return idOf(eidInState(room, anyRef, slot))
    },
    authDifference:
      rules.stateResolution === 'v1'
        ? new Set()
        : new Set(
            [...authDifference(room, refs, conflicted)].map((eid) => eventByEid(room, eid).event.event_id),
          ),
    event: (id): Event | undefined => findEvent(room, id)?.event,
    rejected: (id) => findEvent(room, id)?.status === eventStatus.rejected,
  })
  const slots = new Map([...conflicted.keys()].map((slot) => [slotKeyOf(room, slot), slot]))
  const result = new Map<number, number>([...conflicted.keys()].map((slot) => [slot, 0]))
  for (const [key, eventId] of resolved) {
    const stored = eventId === undefined ? undefined : findEvent(room, eventId)
    const slot = slots.get(key) ?? (stored && slotOfEvent(room, stored.event))
    if (slot !== undefined) result.set(slot, stored?.eid ?? 0)
  }
  return result
}

function slotKeyOf(room: RoomContext, slot: number): string {
  const { type, state_key: stateKey } = slotOf(room, slot)
  return slotKey(type, stateKey)
}

function slotOfEvent(room: RoomContext, event: Event): number | undefined {
  return event.state_key === undefined ? undefined : internSlot(room, event.type, event.state_key)
}
