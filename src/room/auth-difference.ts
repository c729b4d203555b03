// The auth difference of forked states, without walking the auth chain of the whole room.
// Specification: room version 2, state resolution: the events that are in the full auth chain of some, but not of
// all of the states.

import { authChain as wholeAuthChain } from './auth-chain.ts'
import type { RoomContext } from './context.ts'
import { eventByEid, firstOutlier } from './events.ts'
import { allState, eidInState, stateGroup, type StateRef } from './state-at.ts'

/**
 * Events in the auth chains of some, not all, of the states. `conflicted` names the slots in which they differ with
 * each state's eid (0 for none). An event that some unconflicted state event builds upon is in every chain; since an
 * event's auth events were here before it, only state events newer than the oldest candidate need to be walked. That does
 * not hold for outliers, which came with a join, at an unknown age: most of them are part of the state themselves, or below
 * one that is; only for what is left then is all of the state walked.
 */
export function authDifference(
  room: RoomContext,
  refs: readonly StateRef[],
  conflicted: ReadonlyMap<number, readonly number[]>,
): Set<number> {
  const chains = refs.map((_, fork) =>
    authChain(
      room,
      [...conflicted.values()].map((eids) => eids[fork] ?? 0).filter((eid) => eid !== 0),
      -Infinity,
    ),
  )
  const candidates = new Set<number>()
  for (const chain of chains) {
    for (const eid of chain) if (!chains.every((other) => other.has(eid))) candidates.add(eid)
  }
  if (candidates.size === 0) return candidates
  const [anyRef] = refs
  if (anyRef === undefined) return candidates
  dropStateItself(room, anyRef, conflicted, candidates)
  dropBelowRecentState(room, anyRef, conflicted, candidates)
  if ([...candidates].some((eid) => eid >= firstOutlier)) dropBelowState(room, anyRef, conflicted, candidates)
  return candidates
}

type Conflicted = ReadonlyMap<number, unknown>

/** A state's own events count as part of its chain: what no state disputes is no difference, nor is what it rests upon. */
function dropStateItself(
  room: RoomContext,
  ref: StateRef,
  conflicted: Conflicted,
  candidates: Set<number>,
): void {
  const undisputed = [...candidates].filter((eid) => {
    const { slot } = eventByEid(room, eid)
    return slot !== null && !conflicted.has(slot) && eidInState(room, ref, slot) === eid
  })
  for (const eid of undisputed) candidates.delete(eid)
  for (const eid of authChain(room, undisputed, -Infinity)) candidates.delete(eid)
}

function dropBelowRecentState(
  room: RoomContext,
  anyRef: StateRef,
  conflicted: Conflicted,
  candidates: Set<number>,
): void {
  const oldest = Math.min(...[...candidates].filter((eid) => eid < firstOutlier))
  if (oldest === Infinity) return
  const unconflicted = [...recentState(room, anyRef, oldest)].filter(([slot]) => !conflicted.has(slot))
  const shared = authChain(
    room,
    unconflicted.map(([, eid]) => eid),
    oldest,
  )
  for (const eid of shared) candidates.delete(eid)
}

function dropBelowState(
  room: RoomContext,
  ref: StateRef,
  conflicted: Conflicted,
  candidates: Set<number>,
): void {
  const undisputed = [...allState(room, ref)].filter(([slot]) => !conflicted.has(slot))
  for (const eid of wholeAuthChain(room, [undisputed.map(([, eid]) => eid)])) candidates.delete(eid)
}

/** The part of a state that may build upon an event as old as `oldest`. */
function recentState(room: RoomContext, ref: StateRef, oldest: number): Map<number, number> {
  const { base, delta } = stateGroup(room, ref)
  const rows = room.sql.exec<{ slot: number; eid: number }>(
    'SELECT slot, eid, max(pos) FROM state WHERE pos BETWEEN ? AND ? GROUP BY slot',
    oldest,
    base,
  )
  const result = new Map([...rows].map((row) => [row.slot, row.eid]))
  for (const [slot, eid] of delta) result.set(slot, eid)
  for (const [slot, eid] of result) if (eid === 0) result.delete(slot)
  return result
}

/** All eids that can be reached over auth events from the given ones (which count only where reached), not below `floor`. */
function authChain(room: RoomContext, from: readonly number[], floor: number): Set<number> {
  const reached = new Set<number>()
  const stack = [...from]
  for (let eid = stack.pop(); eid !== undefined; eid = stack.pop()) {
    for (const auth of eventByEid(room, eid).auth) {
      if (auth < floor || reached.has(auth)) continue
      reached.add(auth)
      stack.push(auth)
    }
  }
  return reached
}
