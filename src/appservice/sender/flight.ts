// The next transaction: what it holds is written down before it is sent, so that it can be sent again identically.
// Specification: application service API, "Pushing events".

import { type JsonObject, objectProperty, property } from '../../matrix/json.ts'
import type { Flight, Sender } from './context.ts'
import { hasEdus, takeEdus } from './edus.ts'

/** How many events go into a transaction, and into a row of the outbox. */
export const mostEvents = 100
const mostEdus = 100
// One row of at most 2 MB holds it, with what is ephemeral.
const mostBytes = 800_000

/** A transaction of some events and of what is ephemeral; undefined where there is none of both. */
export function newFlight(sender: Sender, events: readonly JsonObject[]): Flight | undefined {
  const { now, appservice, incarnation } = sender.deps
  if (events.length === 0 && !hasEdus(sender.edus)) return undefined
  const ephemeral = takeEdus(sender.edus, mostEdus, now())
  sender.transactions += 1
  const body = {
    events: events.map((event) => withAge(event, now())),
    // "This property can be omitted if it would be empty."
    ...(ephemeral.length > 0 ? { ephemeral } : {}),
    ...(ephemeral.length > 0 && appservice.unstableEphemeral
      ? { 'de.sorunome.msc2409.ephemeral': ephemeral }
      : {}),
  }
  return {
    // Whatever was lost or brought back: no other life has given out the same ids for something else.
    txnId: `${incarnation}-${sender.transactions}`,
    body: JSON.stringify(body),
    kept: events.length > 0,
  }
}

// How old an event is when it is sent.
function withAge(event: JsonObject, now: number): JsonObject {
  const ts = property(event, 'origin_server_ts')
  const age = Math.max(0, now - (typeof ts === 'number' ? ts : now))
  return { ...event, unsigned: { ...objectProperty(event, 'unsigned'), age } }
}

/** Writes a transaction down. Call inside a transaction, and `takeOff` once that is committed. */
export function writeFlight({ deps }: Sender, { txnId, body }: Flight): void {
  deps.sql.exec(
    `INSERT INTO flight (id, txn, body) VALUES (1, ?, ?)
     ON CONFLICT (id) DO UPDATE SET txn = excluded.txn, body = excluded.body, failures = 0, retry_at = 0`,
    txnId,
    body,
  )
}

/** Makes it the transaction in flight. */
export function takeOff(sender: Sender, flight: Flight): void {
  sender.flight = flight
  if (flight.kept) sender.flightOnDisk = true
}

/** Makes the next transaction the one in flight, if there is anything to send. Call when none is. */
export function nextFlight(sender: Sender): Flight | undefined {
  const { events, last } = sender.waiting ? nextEvents(sender) : { events: [], last: 0 }
  const flight = newFlight(sender, events)
  if (flight?.kept) {
    // The transaction before is written over: it was acknowledged. A crash before that repeats it, with its id.
    sender.deps.transact(() => {
      sender.deps.sql.exec('DELETE FROM outbox WHERE seq <= ?', last)
      writeFlight(sender, flight)
    })
  }
  if (events.length === 0 || last === sender.seq) sender.waiting = false
  if (flight) takeOff(sender, flight)
  return flight
}

/** Forgets the transaction that was acknowledged, unless the next one is about to take its place. */
export function land(sender: Sender): void {
  sender.flight = undefined
  if (sender.waiting || !sender.flightOnDisk) return
  sender.deps.sql.exec('UPDATE flight SET txn = NULL, body = NULL, failures = 0, retry_at = 0')
  sender.flightOnDisk = false
}

/**
 * Drops what waits, when nobody listens any more. How far rooms have told stays: they tell their last events once more to one that
 * is registered again, which must not hear of them now.
 */
export function dropWaiting(storage: Pick<DurableObjectStorage, 'sql' | 'transactionSync'>): void {
  storage.transactionSync(() => {
    storage.sql.exec('DELETE FROM outbox')
    storage.sql.exec('DELETE FROM flight')
  })
}

/** The events that come next, and the number of the last row they are of. */
function nextEvents({ deps }: Sender): { events: JsonObject[]; last: number } {
  const rows = deps.sql.exec<{ seq: number; events: string; count: number }>(
    'SELECT seq, events, count FROM outbox ORDER BY seq',
  )
  const events: JsonObject[] = []
  let [bytes, last] = [0, 0]
  // The cursor goes only as far as it is read.
  for (const row of rows) {
    bytes += Buffer.byteLength(row.events)
    if (events.length > 0 && (events.length + row.count > mostEvents || bytes > mostBytes)) break
    events.push(...eventsIn(row.events))
    last = row.seq
  }
  return { events, last }
}

/** A JSON list of events, as rooms and `tellElsewhere` write them and nobody else. */
export function eventsIn(json: string): JsonObject[] {
  return JSON.parse(json) as JsonObject[]
}
