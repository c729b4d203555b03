// Serving destinations: one transaction at a time for each, several destinations at once, each in its turn. Where many
// are to be served, the queue's consumers do it (leases.ts).
// Specification: server-server API, "Transactions".

import { errorMessage, log } from '../../log.ts'
import type { JsonObject } from '../../matrix/json.ts'
import { armAlarm } from './arm-alarm.ts'
import type { Destination, Flight, Sender } from './context.ts'
import { eduIsDue } from './edus.ts'
import { handOver, isForMany } from './leases.ts'
import { outcomeOf, settle } from './outcome.ts'
import { nextTransaction } from './transaction.ts'

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
  if (isForMany(sender)) handOver(sender, [...sender.ready].filter(hasWork), pump)
  for (const destination of sender.ready) {
    if (sender.active >= sender.deps.connections) return
    // The rest in an alarm, which is an invocation with subrequests of its own.
    if (isSpent(sender)) return armAlarm(sender, sender.deps.now())
    sender.served += 1
    sender.ready.delete(destination)
    void serve(sender, destination)
  }
}

/** Notes that a call or an alarm has begun, which may send as much as one may. */
export function beginInvocation(sender: Sender): void {
  sender.served = 0
}

function isSpent({ served, deps }: Sender): boolean {
  return served >= deps.queueFrom - 1
}

function isIdle(sender: Sender): boolean {
  return sender.active === 0 && (sender.ready.size === 0 || isSpent(sender))
}

/** Resolves when nothing is going on: all is sent, or waits for its time. */
export function whenIdle(sender: Sender): Promise<void> {
  if (isIdle(sender)) return Promise.resolve()
  return new Promise((resolve) => sender.idleWaiters.push(resolve))
}

async function serve(sender: Sender, destination: Destination): Promise<void> {
  sender.active += 1
  destination.busy = true
  try {
    const flight = destination.flight ?? (await nextTransaction(sender, destination))
    if (flight) await deliver(sender, destination, flight)
  } catch (error) {
    putOff(sender, destination, error)
  }
  sender.active -= 1
  destination.busy = false
  // At the end of the line: the others come first.
  markReady(sender, destination)
  pump(sender)
  if (!isIdle(sender)) return
  for (const resolve of sender.idleWaiters.splice(0)) resolve()
}

// How soon a room is asked again that could not be asked.
const roomRetryMs = 5_000

/** Notes that no transaction could be made. A room could not be asked, which says nothing about the destination. */
export function putOff(sender: Sender, destination: Destination, error: unknown): void {
  log({ event: 'transaction_not_made', destination: destination.name, error: errorMessage(error) })
  tryLater(sender, destination, roomRetryMs)
}

/** Serves a destination in some milliseconds again, if there is something to do. */
export function tryLater(sender: Sender, destination: Destination, ms: number): void {
  destination.retryAt = sender.deps.now() + ms
  sender.deps.later(ms, () => {
    markReady(sender, destination)
    pump(sender)
  })
}

/** The content of a transaction as JSON text. */
export function contentText(sender: Sender, { id }: Destination, { body }: Flight): string {
  return (
    body ??
    sender.deps.sql.exec<{ body: string }>('SELECT body FROM destinations WHERE id = ?', id).one().body
  )
}

async function deliver(sender: Sender, destination: Destination, flight: Flight): Promise<void> {
  destination.lastTry = sender.deps.now()
  // Written by `assemble` alone.
  const content = JSON.parse(contentText(sender, destination, flight)) as JsonObject
  const outcome = await outcomeOf(() => sender.deps.send(destination.name, String(flight.txn), content))
  const retryIn = settle(sender, destination, flight, outcome)
  if (retryIn !== undefined) tryLater(sender, destination, retryIn)
}
