// When a destination that could not be reached is tried again, and what happens to its backlog meanwhile.

import { armAlarm } from './arm-alarm.ts'
import { giveUpBacklog } from './catch-up.ts'
import type { Destination, Sender } from './context.ts'
import { dropFleeting } from './edus.ts'
import { writeAllKept } from './kept-edus.ts'

const minute = 60_000
const longestDelay = 24 * 60 * minute

/** How long a destination may fail until its backlog is given up for catching up later. */
const longestBacklogMs = 60 * minute
/** How many events may wait for a destination that fails. */
export const longestBacklog = 500

// A destination that takes longer than this to fail is not tried again at once: it holds up others.
const quickFailureMs = 10_000

/** How soon a transaction that has failed is tried again before that counts as a failure of the destination, if at all. */
export function quickRetryIn(sender: Sender, destination: Destination): number | undefined {
  const { now, random, quickRetriesMs } = sender.deps
  if (destination.failures > 0 || now() - destination.lastTry > quickFailureMs) return undefined
  const delay = quickRetriesMs[destination.quickRetries]
  if (delay === undefined) return undefined
  destination.quickRetries += 1
  return Math.round(delay * (0.5 + random()))
}

/** Notes that a destination could not be reached. `notBefore`: when it asked to be tried again, if it did. */
export function noteFailure(sender: Sender, destination: Destination, error: string, notBefore = 0): void {
  const { now, random, firstBackOffMs } = sender.deps
  destination.failures += 1
  if (destination.failures === 1) destination.failingSince = now()
  const delay = Math.min(firstBackOffMs * 2 ** (destination.failures - 1), longestDelay)
  // Up to a tenth more or less, so that not all are tried in the same moment.
  const retryAt = Math.round(now() + delay * (0.9 + 0.2 * random()))
  destination.retryAt = Math.max(retryAt, Math.min(notBefore, now() + longestDelay))
  destination.lastError = error.slice(0, 500)
  // What is in flight is on disk, if it is worth anything.
  const { flight } = destination
  if (flight) destination.flight = flight.durable ? { ...flight, body: undefined } : undefined
  dropFleeting(destination.edus)
  sender.deps.transact(() => {
    if (now() - destination.failingSince >= longestBacklogMs) giveUpBacklog(sender, destination)
    writeAllKept(sender, destination)
    writeStanding(sender, destination)
  })
  armAlarm(sender, destination.retryAt)
}

/** Writes down how a destination fares, with what is in flight as it is. */
export function writeStanding(sender: Sender, destination: Destination): void {
  const { flight } = destination
  sender.deps.sql.exec(
    `UPDATE destinations SET cursor = ?, txn = ?, up_to = ?, body = iif(? IS NULL, NULL, body), failures = ?,
       failing_since = ?, retry_at = ?, last_error = ?, last_success = ?, catching_up = ? WHERE id = ?`,
    destination.cursor,
    flight?.txn ?? null,
    flight?.upTo ?? null,
    flight?.txn ?? null,
    destination.failures,
    destination.failingSince,
    destination.retryAt,
    destination.lastError ?? null,
    destination.lastSuccess,
    Number(destination.catchingUp),
    destination.id,
  )
}
