// Filling the gap that a page of the timeline ended at. Specification: server-server API, "Backfilling and retrieving
// missing events".

import { config } from '../../config.ts'
import { type Env, roomStub } from '../../env.ts'
import { errorMessage, log } from '../../log.ts'
import type { EventId, RoomId } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { Gap } from '../../room/gaps.ts'
import type { Asking } from './asking.ts'
import { eventKeys } from './event-keys.ts'
import { authChainFrom, eventsFrom, olderEventsFrom } from './fetch-events.ts'
import { stage } from './stage-events.ts'

const eventsPerFill = 100
const mostServers = 4
const requestsPerServer = 30

/** Asks the servers that may have them for older events. Whether anything was filled in. */
export async function fillGap(env: Env, roomId: RoomId, gap: Gap): Promise<boolean> {
  const room = roomStub(env, roomId)
  const known = new Set([...gap.servers, ...(await room.joinedServerNames())])
  known.delete(config(env).serverName)
  const servers = [...known].slice(0, mostServers)
  for (const server of servers) {
    const asking = { env, roomId, server, budget: { left: requestsPerServer } }
    try {
      const pdus = await olderEventsFrom(asking, gap.prevs, eventsPerFill)
      if (pdus.length === 0) continue
      await receiveHistory(asking, gap.prevs[0], pdus)
      if ((await room.backFill(gap.pos)) > 0) return true
    } catch (error) {
      log({ event: 'missing_events_failed', room_id: roomId, server, error: errorMessage(error) })
    }
  }
  return false
}

/** Hands in older events, and what they lack of their auth events: first the chain of the newest, which holds nearly all. */
export async function receiveHistory(
  asking: Asking,
  newest: EventId | undefined,
  pdus: readonly JsonObject[],
): Promise<void> {
  let missing = await handIn(asking, pdus)
  if (missing.length > 0 && newest !== undefined) {
    await stage(asking, await authChainFrom(asking, newest))
    missing = await handIn(asking, pdus)
  }
  if (missing.length === 0) return
  await stage(asking, await eventsFrom(asking, missing.slice(0, asking.budget.left)))
  await handIn(asking, pdus)
}

/** The auth events that are missing. */
async function handIn({ env, roomId }: Asking, pdus: readonly JsonObject[]): Promise<EventId[]> {
  const receipts = await roomStub(env, roomId).receiveHistory(pdus, await eventKeys(env, pdus))
  const missing = receipts.flatMap((receipt) => (receipt.outcome === 'incomplete' ? receipt.missing : []))
  return [...new Set(missing)]
}
