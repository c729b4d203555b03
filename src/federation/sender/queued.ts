// The sender's side of its consumers: what one of them is to send, and what became of it.

import type { ServerName } from '../../matrix/event.ts'
import type { Destination, Sender } from './context.ts'
import { endLease, leased, notePulled } from './leases.ts'
import { type Outcome, settle } from './outcome.ts'
import { nextTransaction } from './transaction.ts'
import { contentText, markReady, pump, putOff, tryLater } from './work.ts'

/** A transaction that is on disk, if it is worth anything. */
export interface QueuedTransaction {
  readonly destination: ServerName
  readonly txnId: string
  /** The content as JSON text. */
  readonly content: string
}

export interface QueuedOutcome {
  readonly destination: ServerName
  readonly outcome: Outcome
}

/** What a consumer is to send by its lease. Nothing if the lease is over, or another consumer came with it before. */
export async function pull(sender: Sender, lease: number): Promise<QueuedTransaction[]> {
  const destinations = leased(sender, lease).filter((destination) => destination.lease?.pulled === false)
  notePulled(sender, destinations)
  const transactions = await Promise.all(
    destinations.map((destination) => queuedTransaction(sender, destination)),
  )
  pump(sender)
  return transactions.filter((transaction) => transaction !== undefined)
}

async function queuedTransaction(
  sender: Sender,
  destination: Destination,
): Promise<QueuedTransaction | undefined> {
  try {
    const flight = destination.flight ?? (await nextTransaction(sender, destination))
    if (flight) {
      destination.lastTry = sender.deps.now()
      const content = contentText(sender, destination, flight)
      return { destination: destination.name, txnId: String(flight.txn), content }
    }
    endLease(destination)
    markReady(sender, destination)
  } catch (error) {
    endLease(destination)
    putOff(sender, destination, error)
  }
  return undefined
}

/** Takes what became of the transactions of a lease. Those whose lease is over are tried again anyway. */
export function report(sender: Sender, lease: number, outcomes: readonly QueuedOutcome[]): void {
  const byName = new Map(outcomes.map(({ destination, outcome }) => [destination, outcome]))
  for (const destination of leased(sender, lease)) {
    const outcome = byName.get(destination.name)
    const { flight } = destination
    endLease(destination)
    const retryIn = outcome && flight ? settle(sender, destination, flight, outcome) : undefined
    if (retryIn !== undefined) tryLater(sender, destination, retryIn)
    markReady(sender, destination)
  }
  pump(sender)
}
