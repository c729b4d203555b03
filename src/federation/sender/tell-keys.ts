// What the Hub shards tell about keys and devices of their users.
// Specification: server-server API, "Device Management", "End-to-End Encryption".

import type { ServerName } from '../../matrix/event.ts'
import { armAlarm, safetyMs } from './arm-alarm.ts'
import type { Sender } from './context.ts'
import type { KeyEdu } from './edus.ts'
import { keep } from './kept-edus.ts'
import { newDestination } from './load.ts'
import { markReady, pump } from './work.ts'

/** Takes over EDUs for some servers, in order. */
export function tellKeys(sender: Sender, servers: readonly ServerName[], edus: readonly KeyEdu[]): void {
  // Before anything is written: where no alarm is pending, nothing is left to do.
  armAlarm(sender, sender.deps.now() + safetyMs)
  const destinations = servers
    .filter((name) => name !== sender.deps.serverName)
    .map((name) => sender.destinations.get(name) ?? newDestination(sender, name))
  sender.deps.transact(() => {
    for (const destination of destinations) for (const edu of edus) keep(sender, destination, edu)
  })
  for (const destination of destinations) markReady(sender, destination)
  pump(sender)
}
