// An event whose parents are not all here, received with the state that another server says was before it. That state
// is judged like everything else; the current state follows by resolving it with what we had.
// Specification: server-server API, "Checks performed on receipt of a PDU"; design, "The order of a room".

import type { EventId, ServerName } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { transact } from './append.ts'
import { identity, type RoomContext } from './context.ts'
import { eventStatus, findEvent, livePosition } from './events.ts'
import { gapSize, openGap } from './gaps.ts'
import { checkPdu, judgeOnState, missingEvents, type Receipt, type ServerKeySet } from './receive-pdu.ts'
import type { ResolvedState } from './resolve-state.ts'
import { allState, internSlot } from './state-at.ts'

export interface AcrossGap {
  readonly pdu: JsonObject
  readonly keys: ServerKeySet
  /** The state before the event. Its events must have been handed in as outliers. */
  readonly state: readonly EventId[]
  /** Servers that may fill the gap. */
  readonly servers: readonly ServerName[]
}

/** Receives an event across a gap. `incomplete` names what is missing of its auth events or of the given state. */
export function receiveAcrossGap(room: RoomContext, { pdu, keys, state, servers }: AcrossGap): Receipt {
  const event = checkPdu(room, pdu, keys)
  if ('outcome' in event) return event
  const missing = missingEvents(room, [...event.auth_events, ...state])
  if (missing.length > 0) return { outcome: 'incomplete', eventId: event.event_id, missing }
  return transact(room, () => {
    const before = givenState(room, state)
    const prevs = missingEvents(room, event.prev_events)
    const prev = event.prev_events.flatMap((id) => findEvent(room, id) ?? []).map(({ eid }) => eid)
    // Leaves room below for what will be back-filled. The state on the line is the same at every position of the hole.
    room.live.position = livePosition(room) + gapSize
    const receipt = judgeOnState(room, event, prev, before)
    if (receipt.outcome === 'accepted') openGap(room, { pos: livePosition(room), prevs, servers })
    return receipt
  })
}

/** A state that was given as a list of events, as what differs from the current one. */
export function givenState(room: RoomContext, ids: readonly EventId[]): ResolvedState {
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
