// Trying a destination before its time, because it has been heard of.

import type { ServerName } from '../../matrix/event.ts'
import type { Sender } from './context.ts'
import { markReady, pump } from './work.ts'

const shortestPauseMs = 60_000

/**
 * Tries a destination now, and backs off from the beginning if that fails. Nothing for those that do not fail, or were
 * tried within the last minute: who calls us all day cannot make us call back all day.
 */
export function wake(sender: Sender, name: ServerName): void {
  const destination = sender.destinations.get(name)
  if (!destination || destination.failures === 0 || destination.busy) return
  const now = sender.deps.now()
  if (destination.retryAt <= now || now - destination.lastTry < shortestPauseMs) return
  destination.failures = 1
  destination.retryAt = now
  markReady(sender, destination)
  pump(sender)
}
