// Presence of users of this shard, for the other shards and for servers that share rooms with them.
// Specification: server-server API, "Presence".

import { federationSenderStub, hubStub } from '../env.ts'
import { errorMessage, log } from '../log.ts'
import type { HubContext } from './context.ts'
import { userIdOf } from './interned.ts'
import { serversWith } from './other-members.ts'
import type { OtherPresence } from './others-presence.ts'
import { presenceContent } from './presence.ts'
import { tellAppservicesPresence } from './tell-appservices.ts'

/** Tells everybody outside of this shard who these users are shown to be. Nobody waits for it. */
export function tellPresence(hub: HubContext, uids: readonly number[]): void {
  const updates = uids.map((uid) => ({ uid, update: updateOf(hub, uid) }))
  if (updates.length === 0) return
  tellAppservicesPresence(hub, uids)
  for (const shard of hub.otherShards) {
    void told(() => hubStub(hub.env, shard).applyOtherPresence(updates.map(({ update }) => update)))
  }
  for (const { uid, update } of updates) {
    const servers = [...serversWith(hub, uid)]
    if (servers.length === 0) continue
    void told(() => federationSenderStub(hub.env).tellPresence(servers, { type: 'm.presence', ...update }))
  }
}

function updateOf(hub: HubContext, uid: number): OtherPresence {
  const {
    presence,
    last_active_ago: ago,
    currently_active: active,
    status_msg: message,
  } = presenceContent(hub, uid)
  return {
    userId: userIdOf(hub, uid),
    presence,
    lastActiveAgo: ago ?? 0,
    currentlyActive: active ?? false,
    ...(message === undefined ? {} : { statusMsg: message }),
  }
}

// What is lost is told with the next change.
async function told(tell: () => Promise<void>): Promise<void> {
  try {
    await tell()
  } catch (error) {
    log({ event: 'presence_not_told', error: errorMessage(error) })
  }
}
