// Room state within back-filled history. Nobody tells the state before each of those events, so it is worked out from the
// state above the gap that they fill: going down, each state event is taken out again, and what it had replaced comes back.
// A row a state event, whatever the size of the room. It decides about who may see an event, never about its acceptance.
// Specification: client-server API, "Room history visibility"; server-server API, "Backfilling and retrieving missing events".

import type { RoomContext } from './context.ts'

// References into history lie below those of all state groups, with room for any position on both sides.
const zero = -(2 ** 52)

/** The reference of the state as of a position within back-filled history: after the event there, if there is one. */
export function historyRef(position: number): number {
  return zero + position
}

/** Whether a state reference points into back-filled history. */
export function isHistoryRef(ref: number): boolean {
  return ref < zero / 2
}

/** Notes the state above a gap that is about to be filled; a gap that moved down goes on with the stretch that is there. */
export function beginHistory(room: RoomContext, top: number, state: number): void {
  if (isHistoryRef(state)) return
  room.sql.exec('INSERT OR IGNORE INTO history_tops (top, state, complete) VALUES (?, ?, 0)', top, state)
}

/** Notes that the stretch of a position goes down to the create event: what is not set there yet, was not set. */
export function completeHistory(room: RoomContext, position: number): void {
  room.sql.exec('UPDATE history_tops SET complete = 1 WHERE top = ?', stretchAt(room, position).top)
}

/** Notes what a slot holds from a position on: `prior` held it before, 0 for nothing, null where that is not known. */
export function writeHistory(
  room: RoomContext,
  slot: number,
  position: number,
  { eid, prior }: { readonly eid: number; readonly prior: number | null },
): void {
  room.sql.exec(
    'INSERT OR REPLACE INTO history_state (slot, pos, eid, prior) VALUES (?, ?, ?, ?)',
    slot,
    position,
    eid,
    prior,
  )
}

/** What a slot held: an eid (0 for nothing), `sure` unless it is what came later; or what it holds in another state. */
export type Held = { readonly eid: number; readonly sure: boolean } | { readonly state: number }

/** The history of a slot, to be asked for references into history. Reads it once. */
export function slotInHistory(room: RoomContext, slot: number): (ref: number) => Held {
  const rows = room.sql
    .exec<{
      pos: number
      eid: number
      prior: number | null
    }>('SELECT pos, eid, prior FROM history_state WHERE slot = ? ORDER BY pos', slot)
    .toArray()
  return (ref) => held(rows, stretchAt(room, ref - zero), ref - zero)
}

/** The state above the stretch that a reference points into. */
export function stateAbove(room: RoomContext, ref: number): number {
  return stretchAt(room, ref - zero).state
}

/** The state that a reference into history stands upon, and what of it was different then, by slot. */
export function historyDelta(room: RoomContext, ref: number): { state: number; delta: Map<number, number> } {
  const stretch = stretchAt(room, ref - zero)
  const rows = room.sql
    .exec<HistoryRow & { slot: number }>(
      'SELECT slot, pos, eid, prior FROM history_state WHERE pos >= ? AND pos < ? ORDER BY slot, pos',
      stretch.floor,
      stretch.top,
    )
    .toArray()
  const delta = new Map<number, number>()
  for (const [slot, ofSlot] of Map.groupBy(rows, (row) => row.slot)) {
    const was = held(ofSlot, stretch, ref - zero)
    if ('eid' in was) delta.set(slot, was.eid)
  }
  return { state: stretch.state, delta }
}

/** The slots of users' member events that changed in back-filled history, of those whose user id ends in a text. */
export function memberSlotsInHistory(room: RoomContext, ending: string): { slot: number; userId: string }[] {
  // Not LIKE, whose patterns the platform limits to 50 bytes.
  return room.sql
    .exec<{ slot: number; userId: string }>(
      `SELECT DISTINCT slot, state_key AS userId FROM history_state JOIN slots USING (slot)
       WHERE type = 'm.room.member' AND substr(state_key, -length(?1)) = ?1`,
      ending,
    )
    .toArray()
}

interface HistoryRow {
  readonly pos: number
  readonly eid: number
  readonly prior: number | null
  readonly [column: string]: SqlStorageValue
}

/** The positions from `floor` on and below `top`, where the state was `state`. */
interface Stretch {
  readonly top: number
  readonly floor: number
  readonly state: number
  readonly complete: boolean
}

function held(rows: readonly HistoryRow[], { floor, top, state, complete }: Stretch, position: number): Held {
  const since = rows.findLast(({ pos }) => pos <= position)
  if (since && since.pos >= floor) return { eid: since.eid, sure: true }
  const next = rows.find(({ pos }) => pos > position)
  if (!next || next.pos >= top) return { state }
  if (next.prior !== null) return { eid: next.prior, sure: true }
  return complete ? { eid: 0, sure: true } : { eid: next.eid, sure: false }
}

function stretchAt(room: RoomContext, position: number): Stretch {
  const row = room.sql
    .exec<{ top: number; state: number; complete: number; floor: number | null }>(
      `SELECT top, state, complete, (SELECT max(top) FROM history_tops WHERE top <= ?1) AS floor
       FROM history_tops WHERE top > ?1 ORDER BY top LIMIT 1`,
      position,
    )
    .toArray()[0]
  if (!row) throw new Error(`no history at position ${position}`)
  return { ...row, floor: row.floor ?? -Infinity, complete: row.complete === 1 }
}
