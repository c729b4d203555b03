// What became of a transaction that was sent, and what follows from it for its destination.
// Specification: server-server API, "Transactions".

import { errorMessage, log } from '../../log.ts'
import type { EventId } from '../../matrix/event.ts'
import { parseEventId } from '../../matrix/identifiers.ts'
import { isJsonObject, objectProperty, property, stringProperty } from '../../matrix/json.ts'
import { noteFailure, quickRetryIn, writeStanding } from './back-off.ts'
import { noteBack } from './catch-up.ts'
import type { Destination, Flight, Sender, TransactionAnswer } from './context.ts'

/** The answer to a transaction, as far as it matters. */
export type Outcome =
  | { readonly accepted: true; readonly refused: readonly { eventId: EventId; error: string }[] }
  | { readonly accepted: false; readonly error: string; readonly retryAfterMs?: number }

const longestError = 200

/** Sends a transaction and tells what became of it. Never rejects. */
export async function outcomeOf(send: () => Promise<TransactionAnswer>): Promise<Outcome> {
  try {
    const { status, body } = await send()
    // The answer is 200 even where single events were refused. Anything else: the same transaction again.
    if (status === 200) return { accepted: true, refused: refusedEvents({ status, body }) }
    const errcode = stringProperty(body, 'errcode')?.slice(0, longestError)
    const error = `status ${status}${errcode === undefined ? '' : `, ${errcode}`}`
    const retryAfterMs = property(body, 'retry_after_ms')
    return { accepted: false, error, ...(typeof retryAfterMs === 'number' ? { retryAfterMs } : {}) }
  } catch (error) {
    return { accepted: false, error: errorMessage(error) }
  }
}

function refusedEvents({ body }: TransactionAnswer) {
  return Object.entries(objectProperty(body, 'pdus') ?? {}).flatMap(([id, result]) => {
    const error = isJsonObject(result) ? stringProperty(result, 'error') : undefined
    // What is logged is ours to say: a destination could write anything there.
    const eventId = parseEventId(id)
    return error === undefined || eventId === undefined
      ? []
      : [{ eventId, error: error.slice(0, longestError) }]
  })
}

/**
 * Notes what became of a transaction in flight. Returns how soon it is to be tried again, in milliseconds, where that is
 * not left to the back-off of its destination.
 */
export function settle(
  sender: Sender,
  destination: Destination,
  flight: Flight,
  outcome: Outcome,
): number | undefined {
  if (!outcome.accepted) return failed(sender, destination, flight, outcome)
  acknowledged(sender, destination)
  const { name } = destination
  for (const { eventId, error } of outcome.refused) {
    log({ event: 'pdu_not_accepted', destination: name, event_id: eventId, error })
  }
  return undefined
}

function acknowledged(sender: Sender, destination: Destination): void {
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
  if (!wasFailing) return
  log({ event: 'destination_back', destination: destination.name })
  noteBack(sender, destination)
  writeStanding(sender, destination)
}

function failed(
  sender: Sender,
  destination: Destination,
  { txn }: Flight,
  { error, retryAfterMs }: Extract<Outcome, { accepted: false }>,
): number | undefined {
  const retryIn = retryAfterMs === undefined ? quickRetryIn(sender, destination) : undefined
  if (retryIn === undefined) {
    sender.unacknowledged.delete(destination)
    noteFailure(sender, destination, error, sender.deps.now() + (retryAfterMs ?? 0))
  }
  const { name, failures } = destination
  log({ event: 'transaction_failed', destination: name, txn_id: String(txn), failures, error })
  return retryIn
}
