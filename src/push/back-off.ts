// What pushers have in common that lead somewhere else: pauses that grow as they fail, and what is not worth sending any more.

import { log } from '../log.ts'
import { armAlarm, type Pusher, type Pushes } from './context.ts'
import type { Push } from './queue.ts'

const longestBackOffMs = 60 * 60_000
const longestWaitMs = 24 * 60 * 60_000

/** Whether a push still is of use: not too old, and about nothing that was read meanwhile. */
export function isWanted({ deps }: Pushes, { uid }: Pusher, push: Push): boolean {
  return push.ts > deps.now() - longestWaitMs && (push.rid === 0 || !deps.hasRead(uid, push))
}

interface Failure {
  readonly error: string
  /** Where it did not get to. */
  readonly gateway: string
  /** Milliseconds. */
  readonly notBefore?: number | undefined
}

/** Leaves a pusher alone that has failed, twice as long with each time, up to an hour. */
export function backOff(pushes: Pushes, pusher: Pusher, { error, gateway, notBefore = 0 }: Failure): void {
  const { now, random, firstBackOffMs } = pushes.deps
  pusher.failures += 1
  const pause = Math.min(firstBackOffMs * 2 ** (pusher.failures - 1), longestBackOffMs)
  // Up to a tenth more or less, so that not all are tried in the same moment.
  const retryAt = Math.round(now() + pause * (0.9 + 0.2 * random()))
  pusher.retryAt = Math.max(retryAt, Math.min(notBefore, now() + longestBackOffMs))
  writeStanding(pushes, pusher)
  log({ event: 'push_failed', gateway, failures: pusher.failures, error })
  armAlarm(pushes, pusher.retryAt)
}

/** Forgets failures. */
export function succeeded(pushes: Pushes, pusher: Pusher): void {
  if (pusher.failures === 0) return
  pusher.failures = 0
  writeStanding(pushes, pusher)
}

function writeStanding({ deps }: Pushes, { id, failures, retryAt }: Pusher): void {
  deps.sql.exec('UPDATE pushers SET failures = ?, retry_at = ? WHERE id = ?', failures, retryAt, id)
}
