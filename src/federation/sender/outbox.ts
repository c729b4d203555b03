// The outbox: the events that rooms told and not every destination has. Its rows are overwritten, not deleted.

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
  const row = { slot: freeSlot(sender), left: 0 }
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

function freeSlot(sender: Sender): number {
  const free = sender.freeSlots.pop()
  if (free !== undefined) return free
  sender.slots += 1
  return sender.slots
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
    if (event.row.left === 0) sender.freeSlots.push(event.row.slot)
  }
}

// As many rows as a busy server needs now and then are worth keeping for the next time.
const mostFreeSlots = 1000

/** Gives back the rows that a long backlog has left. Costs a row each, so only where there are many. */
export function trim(sender: Sender): void {
  if (sender.freeSlots.length < mostFreeSlots || sender.freeSlots.length < sender.slots) return
  sender.deps.sql.exec('DELETE FROM outbox')
  sender.freeSlots.length = 0
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
  for (const { slot, first_seq: firstSeq, room_id: roomId, sets, events } of rows) {
    const row: OutboxRow = { slot, left: 0 }
    // Written by `enqueueRow` alone.
    const idSets = JSON.parse(sets) as number[][]
    for (const [i, [eventId, position, set]] of (
      JSON.parse(events) as [EventId, number, number][]
    ).entries()) {
      const seq = firstSeq + i
      const event = { seq, roomId: roomId as RoomId, eventId, position, row, text: undefined, left: 0 }
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
    if (row.left === 0) sender.freeSlots.push(slot)
  }
}
