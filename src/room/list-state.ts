// Whole states as JSON text, read slot by slot: a large room's never stands in memory at once.

import { clientEvent, type Viewer } from './client-event.ts'
import type { RoomContext } from './context.ts'
import { eventByEid, storedEvent, type EventRow, type StoredEvent } from './events.ts'
import { slotOf, stateGroup, type StateRef } from './state-at.ts'

const slotsPerRead = 200

type StateRow = EventRow & { readonly in_slot: number }

/** The events of a state in the order of their slots, those of one type if it is given. Each part is some of them. */
export function* stateEvents(room: RoomContext, ref: StateRef, type?: string): Generator<StoredEvent[]> {
  const { base, delta } = stateGroup(room, ref)
  let last = 0
  for (;;) {
    const rows = readSlots(room, base, last, type)
    yield rows.filter((row) => !delta.has(row.in_slot)).map((row) => storedEvent(room, row))
    if (rows.length < slotsPerRead) break
    last = rows.at(-1)?.in_slot ?? Infinity
  }
  const changed = [...delta].filter(
    ([slot, eid]) => eid !== 0 && (type === undefined || slotOf(room, slot).type === type),
  )
  yield changed.map(([, eid]) => eventByEid(room, eid))
}

function readSlots(room: RoomContext, position: number, after: number, type: string | undefined): StateRow[] {
  return room.sql
    .exec<StateRow>(
      `SELECT slots.slot AS in_slot, events.* FROM slots
         JOIN state ON state.slot = slots.slot
           AND state.pos = (SELECT max(s.pos) FROM state AS s WHERE s.slot = slots.slot AND s.pos <= ?)
         JOIN events USING (eid)
       WHERE slots.slot > ? AND (? IS NULL OR slots.type = ?)
       ORDER BY slots.slot LIMIT ?`,
      position,
      after,
      type ?? null,
      type ?? null,
      slotsPerRead,
    )
    .toArray()
}

/** The parts of a JSON list of events as clients see them. */
export function* eventList(
  room: RoomContext,
  viewer: Viewer,
  parts: Iterable<readonly StoredEvent[]>,
): Generator<string> {
  yield '['
  let separator = ''
  for (const events of parts) {
    if (events.length === 0) continue
    yield separator + events.map((stored) => JSON.stringify(clientEvent(room, stored, viewer))).join()
    separator = ','
  }
  yield ']'
}
