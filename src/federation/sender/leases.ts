// Many destinations at once: consumers of a queue serve them, ten to a message, each in an invocation with subrequests of
// its own. Whoever serves a destination has a lease on it, which is in memory alone: after a crash nobody has one, and what
// was in flight is sent again identically. A message that comes twice finds no lease; one that never comes is made good by
// the alarm, once its leases are over. Design, "Federation".

import { errorMessage, log } from '../../log.ts'
import type { Destination, QueuedWork, Sender } from './context.ts'

// With their look-ups within 50 subrequests.
const destinationsPerMessage = 10
const messagesPerCall = 100
// A message comes within seconds, usually.
const untilPulledMs = 2 * 60_000
// After a message that did not come, or was not taken.
const withoutQueueMs = 10 * 60_000
// Two rounds of requests that take a minute each at most.
const untilReportedMs = 4 * 60_000

/** Whether so many destinations are to be served that the consumers should do it. */
export function isForMany({ ready, deps, queueAgainAt }: Sender): boolean {
  return ready.size >= deps.queueFrom && queueAgainAt <= deps.now()
}

/**
 * Leaves destinations to the consumers, in whole messages; the rest stays in the line. Those that the queue does not take
 * are put back into the line for the sender itself, and `goOn` is called.
 */
export function handOver(
  sender: Sender,
  waiting: readonly Destination[],
  goOn: (sender: Sender) => void,
): void {
  const messages: QueuedWork[] = []
  for (let at = 0; at + destinationsPerMessage <= waiting.length; at += destinationsPerMessage) {
    // Grows, also over a restart: a message of before finds no lease.
    sender.lease = Math.max(sender.lease + 1, sender.deps.now())
    const lease = { number: sender.lease, until: sender.deps.now() + untilPulledMs, pulled: false }
    for (const destination of waiting.slice(at, at + destinationsPerMessage)) {
      sender.ready.delete(destination)
      destination.busy = true
      destination.lease = lease
    }
    messages.push({ lease: lease.number })
  }
  for (let at = 0; at < messages.length; at += messagesPerCall) {
    void enqueue(sender, messages.slice(at, at + messagesPerCall), goOn)
  }
}

async function enqueue(
  sender: Sender,
  messages: readonly QueuedWork[],
  goOn: (sender: Sender) => void,
): Promise<void> {
  try {
    await sender.deps.enqueue(messages)
  } catch (error) {
    log({ event: 'queue_failed', messages: messages.length, error: errorMessage(error) })
    // No more of it for a while: the sender serves them itself, however long that takes.
    sender.queueAgainAt = sender.deps.now() + withoutQueueMs
    const numbers = new Set(messages.map(({ lease }) => lease))
    for (const destination of sender.byId.values()) {
      if (!destination.lease || !numbers.has(destination.lease.number)) continue
      endLease(destination)
      sender.ready.add(destination)
    }
    goOn(sender)
  }
}

/** The destinations of a lease that is not over. */
export function leased(sender: Sender, number: number): Destination[] {
  return [...sender.byId.values()].filter(
    ({ lease }) => lease?.number === number && lease.until > sender.deps.now(),
  )
}

/** Notes that a consumer has come for some destinations: from then on it has its time. */
export function notePulled(sender: Sender, destinations: readonly Destination[]): void {
  for (const destination of destinations) {
    if (!destination.lease) continue
    destination.lease = { ...destination.lease, until: sender.deps.now() + untilReportedMs, pulled: true }
  }
}

/** Notes that a destination is served by nobody. */
export function endLease(destination: Destination): void {
  destination.lease = undefined
  destination.busy = false
}

/** Takes back what consumers were left and did not report in time. */
export function endLeases(sender: Sender): void {
  for (const destination of sender.byId.values()) {
    const { lease } = destination
    if (!lease || lease.until > sender.deps.now()) continue
    if (!lease.pulled) sender.queueAgainAt = sender.deps.now() + withoutQueueMs
    endLease(destination)
  }
}
