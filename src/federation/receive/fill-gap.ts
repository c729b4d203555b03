// Filling the gap that a page of the timeline ended at. Specification: server-server API, "Backfilling and retrieving
// missing events".

import { config } from '../../config.ts'
import { type Env, roomStub } from '../../env.ts'
import { errorMessage, log } from '../../log.ts'
import type { RoomId } from '../../matrix/event.ts'
import type { Gap } from '../../room/gaps.ts'
import { eventKeys } from './event-keys.ts'
import { authChainFrom, olderEventsFrom } from './fetch-events.ts'
import { stage } from './receive-in-room.ts'

const eventsPerFill = 100
const mostServers = 4

/** Asks the servers that may have them for older events. Whether anything was filled in. */
export async function fillGap(env: Env, roomId: RoomId, gap: Gap): Promise<boolean> {
  const room = roomStub(env, roomId)
  const known = new Set([...gap.servers, ...(await room.joinedServerNames())])
  known.delete(config(env).serverName)
  const servers = [...known].slice(0, mostServers)
  for (const server of servers) {
    try {
      const pdus = await olderEventsFrom(env, server, roomId, gap.prevs, eventsPerFill)
      if (pdus.length === 0) continue
      const [newest] = gap.prevs
      // The auth events of what comes: those of the newest hold nearly all that the older ones cite.
      if (newest) await stage(env, roomId, await authChainFrom(env, server, roomId, newest))
      const filled = await room.backFill(gap.pos, pdus, await eventKeys(env, pdus))
      if (filled > 0) return true
    } catch (error) {
      log({ event: 'missing_events_failed', room_id: roomId, server, error: errorMessage(error) })
    }
  }
  return false
}
