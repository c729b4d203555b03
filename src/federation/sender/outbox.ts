// The outbox: the events that rooms told and not every destination has. Its rows are overwritten, not deleted, and best by
// the next of the same room: so they also remember how far each room has told.

import type { EventId, RoomId } from '../../matrix/event.ts'
import type { Destination, OutboxEvent, OutboxRow, Sender } from './context.ts'

/** An event that goes to some destinations, not numbered yet. */
export interface Addressed {
  readonly eventId: EventId
  readonly position: number
  readonly destinations: readonly Destination[]
  readonly text: string | undefined
}

// Far below the 2 MB of a row.
const eventsPerRow = 100
const idsPerRow = 50_000
// Texts that are not in memory are asked of their rooms again.
const mostTextLength = 8 * 1024 * 1024

/** Numbers the events of a room and queues them for their destinations, on disk as well. Call inside a transaction. */
export function enqueue(sender: Sender, roomId: RoomId, events: readonly Addressed[]): void {
  let ids = 0
  let chunk: Addressed[] = []
  for (const event of events) {
    if (chunk.length >= eventsPerRow || ids + event.destinations.length > idsPerRow) {
      enqueueRow(sender, roomId, chunk)
      chunk = []
      ids = 0
    }
    chunk.push(event)
    ids += event.destinations.length
  }
  if (chunk.length > 0) enqueueRow(sender, roomId, chunk)
}

function enqueueRow(sender: Sender, roomId: RoomId, events: readonly Addressed[]): void {
  const row = newRow(sender, roomId)
  const sets = new Map<string, number>()
  const written = events.map(({ eventId, position, destinations }) => {
    const set = JSON.stringify(destinations.map(({ id }) => id))
    if (!sets.has(set)) sets.set(set, sets.size)
    return [eventId, position, sets.get(set)]
  })
  sender.deps.sql.exec(
    `INSERT INTO outbox (slot, first_seq, room_id, sets, events) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (slot) DO UPDATE SET first_seq = excluded.first_seq, room_id = excluded.room_id,
       sets = excluded.sets, events = excluded.events`,
    row.slot,
    sender.seq + 1,
    roomId,
    `[${[...sets.keys()].join(',')}]`,
    JSON.stringify(written),
  )
  for (const { eventId, position, destinations, text } of events) {
    sender.seq += 1
    const event = { seq: sender.seq, roomId, eventId, position, row, text: undefined, left: 0 }
    queueEvent(event, destinations)
    keepText(sender, event, text)
  }
}

// As many rows as a busy server needs now and then are worth keeping for the next time.
const keptRows = 1000

function newRow(sender: Sender, roomId: RoomId): OutboxRow {
  const resting = sender.restingSlots.get(roomId)
  sender.restingSlots.delete(roomId)
  const row = { slot: resting ?? sender.spareSlots.pop() ?? newSlot(sender), roomId, left: 0 }
  sender.newestRows.set(roomId, row)
  return row
}

function newSlot(sender: Sender): number {
  const [oldest] = sender.restingSlots
  if (oldest && sender.slots >= keptRows) {
    const [roomId, slot] = oldest
    sender.restingSlots.delete(roomId)
    sender.newestRows.delete(roomId)
    return slot
  }
  sender.slots += 1
  return sender.slots
}

function rest(sender: Sender, row: OutboxRow): void {
  if (sender.newestRows.get(row.roomId) === row) sender.restingSlots.set(row.roomId, row.slot)
  else sender.spareSlots.push(row.slot)
}

function queueEvent(event: OutboxEvent, destinations: readonly Destination[]): void {
  for (const { queue } of destinations) queue.push(event)
  event.left = destinations.length
  event.row.left += destinations.length
}

/** Keeps the text of an event while memory has room for it. */
export function keepText(sender: Sender, event: OutboxEvent, text: string | undefined): void {
  if (text === undefined || event.text !== undefined) return
  if (sender.textLength + text.length > mostTextLength) return
  event.text = text
  sender.textLength += text.length
}

/** Notes that a destination needs some events no more. */
export function release(sender: Sender, events: readonly OutboxEvent[]): void {
  for (const event of events) {
    event.left -= 1
    event.row.left -= 1
    if (event.left === 0 && event.text !== undefined) {
      sender.textLength -= event.text.length
      event.text = undefined
    }
    if (event.row.left === 0) rest(sender, event.row)
  }
}

/** Gives back the rows that a long backlog has left. Costs a row each, so only where there are many. */
export function trim(sender: Sender): void {
  const { spareSlots, restingSlots, newestRows } = sender
  if (spareSlots.length < keptRows || spareSlots.length + restingSlots.size < sender.slots) return
  sender.deps.sql.exec('DELETE FROM outbox')
  spareSlots.length = 0
  restingSlots.clear()
  newestRows.clear()
  sender.slots = 0
}

/** Reads the outbox: queues each event for those destinations whose cursor is before it. */
export function loadOutbox(sender: Sender): void {
  const rows = sender.deps.sql.exec<{
    slot: number
    first_seq: number
    room_id: string
    sets: string
    events: string
  }>('SELECT * FROM outbox ORDER BY first_seq')
  const loaded: OutboxRow[] = []
  for (const { slot, first_seq: firstSeq, room_id: roomId, sets, events } of rows) {
    // Written by `enqueueRow` alone, as all that follows.
    const row: OutboxRow = { slot, roomId: roomId as RoomId, left: 0 }
    loaded.push(row)
    sender.newestRows.set(row.roomId, row)
    const idSets = JSON.parse(sets) as number[][]
    for (const [i, [eventId, position, set]] of (
      JSON.parse(events) as [EventId, number, number][]
    ).entries()) {
      const seq = firstSeq + i
      const event = { seq, roomId: row.roomId, eventId, position, row, text: undefined, left: 0 }
      queueEvent(
        event,
        (idSets[set] ?? [])
          .map((id) => sender.byId.get(id))
          .filter((destination) => destination !== undefined)
          .filter(({ cursor, flight }) => seq > (flight ? flight.upTo : cursor)),
      )
      sender.seq = Math.max(sender.seq, seq)
      sender.toldUpTo.set(event.roomId, Math.max(position, sender.toldUpTo.get(event.roomId) ?? 0))
    }
    sender.slots = Math.max(sender.slots, slot)
  }
  for (const row of loaded) if (row.left === 0) rest(sender, row)
}
