// What other servers and other shards tell of the presence of their users. Specification: server-server API, "Presence".

import type { HubContext } from './context.ts'
import { sharersWithOther } from './other-members.ts'
import { type OtherPresence, rememberOther, silentOthers } from './others-presence.ts'
import { wake } from './waiters.ts'

// Others repeat themselves within this time as long as their user is there.
const staleAfterMs = 30 * 60_000

/** Takes over what others tell, and wakes those who share a room with the users in question. */
export function applyOtherPresence(hub: HubContext, updates: readonly OtherPresence[]): void {
  const concerned = new Set<number>()
  for (const told of updates) {
    const sharers = sharersWithOther(hub, told.userId)
    // Whoever meets them later is told with the next change.
    if (sharers.length === 0) continue
    rememberOther(hub, told)
    for (const uid of sharers) concerned.add(uid)
  }
  for (const uid of concerned) wake(hub, uid)
}

/** Those of whom nothing was heard for long are gone. Wakes those who see them. */
export function expireOthers(hub: HubContext): void {
  applyOtherPresence(
    hub,
    silentOthers(hub, staleAfterMs).map((told) => ({ ...told, presence: 'offline', currentlyActive: false })),
  )
}
