// EDUs that must arrive, for servers that are named: about keys and devices of our users, and their messages to devices.
// Specification: server-server API, "Device Management", "End-to-End Encryption", "Send-to-device messaging".

import type { ServerName } from '../../matrix/event.ts'
import { armAlarm, safetyMs } from './arm-alarm.ts'
import type { Sender } from './context.ts'
import type { KeptEdu } from './edus.ts'
import { keep, writeAllKept } from './kept-edus.ts'
import { newDestination } from './load.ts'
import { markReady, pump } from './work.ts'

/** Takes over EDUs for some servers, in order: they are on disk when this is answered. */
export function tellKept(sender: Sender, servers: readonly ServerName[], edus: readonly KeptEdu[]): void {
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
  // Those that are served have them in a transaction on disk before anything else happens; the others wait for their turn.
  sender.deps.transact(() => {
    for (const destination of destinations) if (!destination.busy) writeAllKept(sender, destination)
  })
}
