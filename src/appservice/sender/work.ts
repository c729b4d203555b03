// Delivering: one transaction at a time, the next when it is acknowledged, again when it is not. The same transaction is
// sent until the application service has taken it: whatever a crash interrupts is sent once more, with the same id and
// the same content, by which it is known there.
// Specification: application service API, "Pushing events".

import { errorMessage, log } from '../../log.ts'
import { armAlarm, type Flight, hasKeptWork, type Sender } from './context.ts'
import { hasEdus } from './edus.ts'
import { land, nextFlight } from './flight.ts'

const firstBackOffMs = 1_000
// It is the operator's own, and nobody else is burdened: a bridge that comes back after a night is served soon.
const longestBackOffMs = 5 * 60_000

// Each may be two requests, since there are older paths: far below the 50 of the free plan.
const sentPerInvocation = 20
// An alarm must end sometime.
const longestRunMs = 60_000

/** Notes that a call or an alarm has begun, which may send as much as one may. */
export function beginInvocation(sender: Sender): void {
  sender.sent = 0
}

/** Goes on delivering, if it is time and there is something to deliver. */
export function pump(sender: Sender): void {
  if (sender.serving || !isDue(sender)) return
  const serving = serve(sender).finally(() => {
    sender.serving = undefined
    // What came in the last moment.
    pump(sender)
  })
  sender.serving = serving
  // Who waits for it hears of it; the alarm goes on where nobody does.
  serving.catch((error: unknown) => notServed(sender, error))
}

function notServed({ deps }: Sender, error: unknown): void {
  log({ event: 'appservice_not_served', appservice: deps.appservice.id, error: errorMessage(error) })
}

function isDue(sender: Sender): boolean {
  const { flight, waiting, edus, retryAt, sent, deps } = sender
  if (retryAt > deps.now() || (!flight && !waiting && !hasEdus(edus))) return false
  if (sent < sentPerInvocation) return true
  // The rest in an alarm, which is an invocation with subrequests of its own.
  if (hasKeptWork(sender)) armAlarm(sender, deps.now())
  return false
}

async function serve(sender: Sender): Promise<void> {
  // Whoever tells something does not wait for it.
  await Promise.resolve()
  try {
    while (sender.retryAt <= sender.deps.now() && sender.sent < sentPerInvocation) {
      const flight = sender.flight ?? nextFlight(sender)
      if (!flight) return
      sender.sent += 1
      await deliver(sender, flight)
    }
  } catch (error) {
    // Nothing of the application service's doing.
    putOff(sender)
    notServed(sender, error)
  }
}

async function deliver(sender: Sender, flight: Flight): Promise<void> {
  const error = await failureOf(() => sender.deps.send(flight.txnId, flight.body))
  if (error !== undefined) return failed(sender, flight, error)
  if (sender.failures > 0) log({ event: 'appservice_back', appservice: sender.deps.appservice.id })
  sender.failures = 0
  sender.retryAt = 0
  land(sender)
}

/** What went wrong, undefined for nothing. */
async function failureOf(send: () => Promise<number>): Promise<string | undefined> {
  try {
    const status = await send()
    // What some answer in place of the 200 of the specification says the same.
    return status >= 200 && status < 300 ? undefined : `status ${status}`
  } catch (error) {
    return errorMessage(error)
  }
}

function failed(sender: Sender, { txnId, kept }: Flight, error: string): void {
  putOff(sender)
  const { failures, retryAt } = sender
  log({ event: 'appservice_failed', appservice: sender.deps.appservice.id, txn_id: txnId, failures, error })
  if (kept) sender.deps.sql.exec('UPDATE flight SET failures = ?, retry_at = ?', failures, retryAt)
}

/** Leaves the application service alone, twice as long with each time. */
function putOff(sender: Sender): void {
  const { now, random, later } = sender.deps
  sender.failures += 1
  const delay = Math.min(firstBackOffMs * 2 ** (sender.failures - 1), longestBackOffMs)
  sender.retryAt = Math.round(now() + delay * (0.9 + 0.2 * random()))
  if (hasKeptWork(sender)) armAlarm(sender, sender.retryAt)
  // What is in memory alone needs no alarm.
  else later(sender.retryAt - now(), () => pump(sender))
}

/** Tries now what has failed before: the application service was heard of. */
export function wake(sender: Sender): void {
  if (sender.failures === 0) return
  sender.retryAt = 0
  pump(sender)
}

/** Resolves when nothing is going on: all is sent, or waits for its time. */
export async function whenIdle(sender: Sender): Promise<void> {
  while (sender.serving) await sender.serving
}

/** Runs the alarm to the end of what can be done now: until then it stays pending over a crash. */
export async function onAlarm(sender: Sender): Promise<void> {
  const { now, later } = sender.deps
  // No need to arm it for what comes meanwhile.
  sender.alarmAt = 0
  beginInvocation(sender)
  pump(sender)
  await Promise.race([whenIdle(sender), new Promise<void>((over) => later(longestRunMs, over))])
  sender.alarmAt = undefined
  if (!hasKeptWork(sender)) return
  const isSpent = sender.sent >= sentPerInvocation && !sender.serving
  armAlarm(sender, isSpent ? now() : Math.max(sender.retryAt, now() + firstBackOffMs))
}
