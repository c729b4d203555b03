// An event whose parents are not all here, received with the states that another server says were before those parents.
// They are judged like everything else; the state before the event follows by resolving them with what is known here, and
// so does the current state.
// Specification: server-server API, "Checks performed on receipt of a PDU"; design, "The order of a room".

import type { EventId, ServerName } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { transact } from './append.ts'
import { identity, type RoomContext } from './context.ts'
import { eventStatus, findEvent, inTimeline, livePosition } from './events.ts'
import { gapSize, openGap } from './gaps.ts'
import {
  checkPdu,
  judgeOnState,
  missingEvents,
  missingParents,
  type Receipt,
  type ServerKeySet,
} from './receive-pdu.ts'
import { type ResolvedState, resolveStates } from './resolve-state.ts'
import { allState, internSlot, knowsState, stateGroupRef, type StateRef } from './state-at.ts'

/** A parent and the state before it. Parent and state must have been handed in as outliers. */
export interface GivenState {
  readonly parent: EventId
  readonly state: readonly EventId[]
}

export interface AcrossGap {
  readonly pdu: JsonObject
  readonly keys: ServerKeySet
  /** One for each missing parent. State events that nobody could show are left out of the state. */
  readonly given: readonly GivenState[]
  /** Servers that may fill the gap. */
  readonly servers: readonly ServerName[]
}

/** Receives an event across a gap. `incomplete` names what is missing of its auth events and of its parents. */
export function receiveAcrossGap(room: RoomContext, { pdu, keys, given, servers }: AcrossGap): Receipt {
  const event = checkPdu(room, pdu, keys)
  if ('outcome' in event) return event
  const states = new Map(given.map(({ parent, state }) => [parent, state]))
  const missing = [
    ...missingEvents(room, [...event.auth_events, ...event.prev_events]),
    ...missingParents(room, event).filter((id) => !states.has(id)),
  ]
  if (missing.length > 0) return { outcome: 'incomplete', eventId: event.event_id, missing }
  return transact(room, () => {
    const parents = event.prev_events.flatMap((id) => findEvent(room, id) ?? [])
    const before = resolveStates(
      room,
      parents.map((parent) =>
        knowsState(parent)
          ? parent.stateAfter
          : stateAfterGiven(room, parent.event.event_id, states.get(parent.event.event_id) ?? []),
      ),
    )
    const gap = parents.filter((parent) => !inTimeline(room, parent)).map((parent) => parent.event.event_id)
    // Leaves room below for what will be back-filled. The state on the line is the same at every position of the hole.
    const position = livePosition(room)
    room.live.position = position + gapSize
    const prev = parents.map(({ eid }) => eid)
    const receipt = judgeOnState(room, event, prev, before)
    // Nothing was kept above the hole.
    if (receipt.outcome === 'unsigned') room.live.position = position
    // Nothing is missing below an event that lacked its auth events alone.
    if (receipt.outcome === 'accepted' && gap.length > 0)
      openGap(room, { pos: livePosition(room), prevs: gap, servers })
    return receipt
  })
}

/** The state after a parent, from the state before it. */
function stateAfterGiven(room: RoomContext, parent: EventId, before: readonly EventId[]): StateRef {
  const { base, delta } = givenState(room, [...before, parent])
  return stateGroupRef(room, base, delta)
}

/** A state that was given as a list of events, as what differs from the current one. Of two in a slot the last one counts. */
function givenState(room: RoomContext, ids: readonly EventId[]): ResolvedState {
  const base = livePosition(room)
  const delta = new Map<number, number>()
  const given = slotsOf(room, ids)
  const current = allState(room, base)
  for (const [slot, eid] of given) if (current.get(slot) !== eid) delta.set(slot, eid)
  for (const slot of current.keys()) if (!given.has(slot)) delta.set(slot, 0)
  return { base, delta }
}

/** Slot → eid of state events. Rejected events never enter the state, whoever says they are in it. */
export function slotsOf(room: RoomContext, ids: readonly EventId[]): Map<number, number> {
  const result = new Map<number, number>()
  for (const id of ids) {
    const stored = findEvent(room, id)
    if (!stored || stored.status === eventStatus.rejected || stored.event.state_key === undefined) continue
    if (stored.event.room_id !== identity(room).roomId) continue
    result.set(stored.slot ?? internSlot(room, stored.event.type, stored.event.state_key), stored.eid)
  }
  return result
}
