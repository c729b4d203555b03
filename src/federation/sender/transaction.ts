// The next transaction for a destination: what it holds is written down before it is sent, so that it can be sent again
// identically. Specification: server-server API, "Transactions".

import type { EventId } from '../../matrix/event.ts'
import { fetchMissed, missedRooms, noteMadeGood, type MissedNews } from './catch-up.ts'
import { acknowledgedMark, type Destination, type Flight, type OutboxEvent, type Sender } from './context.ts'
import { takeEdus } from './edus.ts'
import { takeKept } from './kept-edus.ts'
import { keepText, release } from './outbox.ts'

/** At most 50 PDUs and 100 EDUs a transaction. */
export const mostPdus = 50
export const mostEdus = 100
// One row of at most 2 MB holds it. A single PDU has at most 64 KiB.
const mostBytes = 1_000_000

/** Makes the next transaction, undefined if there is nothing to send. Rejects where a room cannot be asked. */
export async function nextTransaction(sender: Sender, destination: Destination): Promise<Flight | undefined> {
  // The newest events first, then what goes on as usual.
  if (destination.catchingUp && missedRooms(sender, destination).size > 0) {
    return await catchUpTransaction(sender, destination)
  }
  const events = destination.queue.slice(0, mostPdus)
  const texts = await textsOf(sender, events)
  const { count, taken } = upToLimit(texts)
  const last = events[count - 1]
  // The backlog may have been given up meanwhile.
  const upTo = Math.max(last?.seq ?? 0, destination.cursor)
  const flight = assemble(sender, destination, taken, upTo)
  // Events that no room has any more are skipped.
  if (!flight) destination.cursor = upTo
  // From here on the transaction has them.
  const { queue } = destination
  destination.queue = queue.filter(({ seq }) => seq > upTo)
  release(
    sender,
    queue.filter(({ seq }) => seq <= upTo),
  )
  return flight
}

async function catchUpTransaction(sender: Sender, destination: Destination): Promise<Flight | undefined> {
  try {
    const missed = await fetchMissed(sender, destination)
    const { count, taken } = roomsUpToLimit(missed)
    const made = missed.slice(0, count).map(({ roomId }) => roomId)
    return sender.deps.transact(() => {
      noteMadeGood(sender, destination, made)
      return assemble(sender, destination, taken, destination.cursor)
    })
  } finally {
    destination.fetching = new Set()
  }
}

/** The texts of events, from memory or from their rooms; null for those that are not there. */
async function textsOf(sender: Sender, events: readonly OutboxEvent[]): Promise<(string | null)[]> {
  const found = new Map<EventId, string | null>()
  const unknown = Map.groupBy(
    events.filter(({ text }) => text === undefined),
    ({ roomId }) => roomId,
  )
  await Promise.all(
    [...unknown].map(async ([roomId, ofRoom]) => {
      const texts = await sender.deps.rooms.pduTexts(
        roomId,
        ofRoom.map(({ eventId }) => eventId),
      )
      for (const [i, event] of ofRoom.entries()) {
        const text = texts[i] ?? null
        found.set(event.eventId, text)
        // For the other destinations.
        if (text !== null && event.left > 1) keepText(sender, event, text)
      }
    }),
  )
  return events.map(({ eventId, text }) => text ?? found.get(eventId) ?? null)
}

function upToLimit(texts: readonly (string | null)[]): { count: number; taken: string[] } {
  const taken: string[] = []
  let bytes = 0
  for (const [i, text] of texts.entries()) {
    bytes += Buffer.byteLength(text ?? '')
    if (bytes > mostBytes && taken.length > 0) return { count: i, taken }
    if (text !== null) taken.push(text)
  }
  return { count: texts.length, taken }
}

function roomsUpToLimit(missed: readonly MissedNews[]): { count: number; taken: string[] } {
  const taken: string[] = []
  let bytes = 0
  for (const [i, { texts }] of missed.entries()) {
    bytes += texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
    const full = bytes > mostBytes || taken.length + texts.length > mostPdus
    if (full && i > 0) return { count: i, taken }
    // The newest come last.
    taken.push(...texts.slice(-Math.min(texts.length, mostPdus)))
  }
  return { count: missed.length, taken }
}

/** Makes a transaction of PDUs and of the EDUs that wait, and writes it down. Undefined where there are none of both. */
function assemble(
  sender: Sender,
  destination: Destination,
  pdus: readonly string[],
  upTo: number,
): Flight | undefined {
  const { now, serverName } = sender.deps
  const kept = takeKept(sender, destination, mostEdus)
  const edus = [...kept, ...takeEdus(destination.edus, now(), mostEdus - kept.length)]
  if (pdus.length === 0 && edus.length === 0) return undefined
  // Grows, also over a loss of this database: receivers remember the ids that they have seen.
  sender.txn = Math.max(sender.txn + 1, now())
  const head = { origin: serverName, origin_server_ts: now(), ...(edus.length > 0 ? { edus } : {}) }
  const body = `${JSON.stringify(head).slice(0, -1)},"pdus":[${pdus.join(',')}]}`
  const flight: Flight = { txn: sender.txn, upTo, body, durable: pdus.length + kept.length > 0 }
  destination.flight = flight
  if (flight.durable) writeFlight(sender, destination, flight)
  return flight
}

function writeFlight(sender: Sender, destination: Destination, { txn, upTo, body }: Flight): void {
  if (destination.failures === 0) sender.unacknowledged.add(destination)
  sender.writtenMark = acknowledgedMark(sender)
  sender.deps.sql.exec(
    `UPDATE destinations SET cursor = ?, txn = ?, up_to = ?, body = ?, mark = ?, last_success = ?, catching_up = ?
     WHERE id = ?`,
    destination.cursor,
    txn,
    upTo,
    body ?? null,
    sender.writtenMark,
    destination.lastSuccess,
    Number(destination.catchingUp),
    destination.id,
  )
}
