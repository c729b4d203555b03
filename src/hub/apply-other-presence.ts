// What other servers and other shards tell of the presence of their users. Specification: server-server API, "Presence".

import type { HubContext } from './context.ts'
import { sharersWithOther } from './other-members.ts'
import { type OtherPresence, rememberOthers, silentOthers } from './others-presence.ts'
import { tellAppservicesOthers } from './tell-appservices.ts'
import { wake } from './waiters.ts'

/** Takes over what others tell, and wakes those who share a room with the users in question. */
export function applyOtherPresence(hub: HubContext, updates: readonly OtherPresence[]): void {
  // Whoever meets the rest later is told with the next change.
  const shared = updates.filter(({ userId }) => sharersWithOther(hub, userId).length > 0)
  rememberAndWake(hub, shared)
}

/**
 * Those of whom nothing was heard for long are gone. Wakes those who see them. Asked with each sync and each look at the users
 * of this shard, so that it needs no timer: whoever could be told is there, or comes.
 */
export function expireOthers(hub: HubContext): void {
  rememberAndWake(
    hub,
    silentOthers(hub).map((told) => ({ ...told, presence: 'offline', currentlyActive: false })),
  )
}

function rememberAndWake(hub: HubContext, updates: readonly OtherPresence[]): void {
  rememberOthers(hub, updates)
  const concerned = new Set(updates.flatMap(({ userId }) => sharersWithOther(hub, userId)))
  for (const uid of concerned) wake(hub, uid)
  tellAppservicesOthers(hub, updates)
}
