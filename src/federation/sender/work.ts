// Serving destinations: one transaction at a time for each, several destinations at once, each in its turn.
// Specification: server-server API, "Transactions".

import { errorMessage, log } from '../../log.ts'
import { parseEventId } from '../../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, objectProperty, property, stringProperty } from '../../matrix/json.ts'
import { noteFailure, quickRetryIn, writeStanding } from './back-off.ts'
import { noteBack } from './catch-up.ts'
import type { Destination, Flight, Sender, TransactionAnswer } from './context.ts'
import { eduIsDue } from './edus.ts'
import { nextTransaction } from './transaction.ts'

// How soon a room is asked again that could not be asked.
const roomRetryMs = 5_000

/** Puts a destination into the line of those to be served, if it is time and there is something to do. */
export function markReady(sender: Sender, destination: Destination): void {
  if (destination.busy || destination.retryAt > sender.deps.now()) return
  if (hasWork(destination) || eduIsDue(destination.edus, sender.deps.now())) sender.ready.add(destination)
}

/** Whether there is something to do for a destination that must not be lost. */
export function hasWork({ flight, queue, kept, catchingUp, missed }: Destination): boolean {
  return flight?.durable === true || queue.length + kept.size > 0 || (catchingUp && missed?.size !== 0)
}

/** Serves those in the line, as many at once as there are connections. */
export function pump(sender: Sender): void {
  for (const destination of sender.ready) {
    if (sender.active >= sender.deps.connections) return
    sender.ready.delete(destination)
    void serve(sender, destination)
  }
}

/** Resolves when nothing is going on: all is sent, or waits for its time. */
export function whenIdle(sender: Sender): Promise<void> {
  if (sender.active === 0 && sender.ready.size === 0) return Promise.resolve()
  return new Promise((resolve) => sender.idleWaiters.push(resolve))
}

async function serve(sender: Sender, destination: Destination): Promise<void> {
  sender.active += 1
  destination.busy = true
  try {
    const flight = destination.flight ?? (await nextTransaction(sender, destination))
    if (flight) await deliver(sender, destination, flight)
  } catch (error) {
    // A room could not be asked, which says nothing about the destination.
    log({ event: 'transaction_not_made', destination: destination.name, error: errorMessage(error) })
    tryLater(sender, destination, roomRetryMs)
  }
  sender.active -= 1
  destination.busy = false
  // At the end of the line: the others come first.
  markReady(sender, destination)
  pump(sender)
  if (sender.active > 0 || sender.ready.size > 0) return
  for (const resolve of sender.idleWaiters.splice(0)) resolve()
}

function tryLater(sender: Sender, destination: Destination, ms: number): void {
  destination.retryAt = sender.deps.now() + ms
  sender.deps.later(ms, () => {
    markReady(sender, destination)
    pump(sender)
  })
}

async function deliver(sender: Sender, destination: Destination, flight: Flight): Promise<void> {
  destination.lastTry = sender.deps.now()
  let answer: TransactionAnswer
  try {
    answer = await sender.deps.send(
      destination.name,
      String(flight.txn),
      contentOf(sender, destination, flight),
    )
  } catch (error) {
    return failed(sender, destination, flight, errorMessage(error))
  }
  // The answer is 200 even where single events were refused. Anything else: the same transaction again.
  if (answer.status === 200) return acknowledged(sender, destination, answer.body)
  const errcode = stringProperty(answer.body, 'errcode')
  const reason = `status ${answer.status}${errcode === undefined ? '' : `, ${errcode}`}`
  const retryAfter = property(answer.body, 'retry_after_ms')
  const notBefore = typeof retryAfter === 'number' ? sender.deps.now() + retryAfter : 0
  failed(sender, destination, flight, reason, notBefore)
}

function contentOf(sender: Sender, { id }: Destination, { body }: Flight): JsonObject {
  const text =
    body ??
    sender.deps.sql.exec<{ body: string }>('SELECT body FROM destinations WHERE id = ?', id).one().body
  // Written by `assemble` alone.
  return JSON.parse(text) as JsonObject
}

function acknowledged(sender: Sender, destination: Destination, answer: JsonObject): void {
  const wasFailing = destination.failures > 0
  sender.unacknowledged.delete(destination)
  // Not as it was when it was sent: a backlog may have been given up since.
  destination.cursor = Math.max(destination.cursor, destination.flight?.upTo ?? 0)
  destination.flight = undefined
  destination.failures = 0
  destination.quickRetries = 0
  destination.failingSince = 0
  destination.retryAt = 0
  destination.lastSuccess = sender.deps.now()
  logRefused(destination, answer)
  if (!wasFailing) return
  log({ event: 'destination_back', destination: destination.name })
  noteBack(sender, destination)
  writeStanding(sender, destination)
}

function failed(
  sender: Sender,
  destination: Destination,
  { txn }: Flight,
  error: string,
  notBefore?: number,
): void {
  const retryIn = notBefore ? undefined : quickRetryIn(sender, destination)
  if (retryIn === undefined) {
    sender.unacknowledged.delete(destination)
    noteFailure(sender, destination, error, notBefore)
  } else tryLater(sender, destination, retryIn)
  const { name, failures } = destination
  log({ event: 'transaction_failed', destination: name, txn_id: String(txn), failures, error })
}

function logRefused({ name }: Destination, answer: JsonObject): void {
  for (const [eventId, result] of Object.entries(objectProperty(answer, 'pdus') ?? {})) {
    const error = isJsonObject(result) ? stringProperty(result, 'error') : undefined
    // What is logged is ours to say: a destination could write anything there.
    if (error === undefined || parseEventId(eventId) === undefined) continue
    log({ event: 'pdu_not_accepted', destination: name, event_id: eventId, error: error.slice(0, 200) })
  }
}
