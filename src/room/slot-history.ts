// What one slot of the state held over time: read once, asked for many events.

import type { RoomContext } from './context.ts'
import { type Held, isHistoryRef, slotInHistory } from './history-state.ts'
import { findSlot, stateGroup, type StateRef } from './state-at.ts'

export interface SlotRow {
  /** From this position on the slot holds the event. */
  readonly pos: number
  /** 0: nothing. */
  readonly eid: number
  readonly membership: string | null
}

export interface SlotHistory {
  /** In the order of positions. */
  readonly rows: readonly SlotRow[]
  /** The eid that the slot holds in a state, 0 for none. */
  readonly eidIn: (ref: StateRef) => number
}

/** The history of a slot in the current state. */
export function slotHistory(room: RoomContext, type: string, stateKey: string): SlotHistory {
  const slot = findSlot(room, type, stateKey)
  if (slot === undefined) return { rows: [], eidIn: () => 0 }
  const rows = room.sql
    .exec<{
      pos: number
      eid: number
      membership: string | null
    }>('SELECT pos, eid, membership FROM state WHERE slot = ? ORDER BY pos', slot)
    .toArray()
  let inHistory: ((ref: StateRef) => Held) | undefined
  const eidIn = (ref: StateRef): number => {
    if (ref >= 0) return eidAt(rows, ref)
    if (isHistoryRef(ref)) {
      inHistory ??= slotInHistory(room, slot)
      const held = inHistory(ref)
      return 'eid' in held ? held.eid : eidIn(held.state)
    }
    const { base, delta } = stateGroup(room, ref)
    return delta.get(slot) ?? eidAt(rows, base)
  }
  return { rows, eidIn }
}

/** The newest row that is not above the position, by bisection. */
function eidAt(rows: readonly SlotRow[], position: number): number {
  let low = 0
  let high = rows.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((rows[middle]?.pos ?? Infinity) <= position) low = middle + 1
    else high = middle
  }
  return rows[low - 1]?.eid ?? 0
}
