// Events that a server gave of those between what we have and what it sent us. Where they do not reach what we have, the
// lowest of them are bridged: the state before their parents is taken from that server, and the gap left to pagination.
// Specification: server-server API, "Backfilling and retrieving missing events", "Retrieving events".

import { roomStub } from '../../env.ts'
import type { EventId } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { GivenState } from '../../room/across-gap.ts'
import type { DueEvent } from '../../room/pending-pdus.ts'
import type { Receipt } from '../../room/receive-pdu.ts'
import type { Asking } from './asking.ts'
import { eventKeys } from './event-keys.ts'
import { authChainFrom, eventsFrom, stateFrom, stateIdsFrom } from './fetch-events.ts'
import { askPolicyServer, receiveSigned } from './policy-signatures.ts'
import { stage } from './stage-events.ts'

type Incomplete = Extract<Receipt, { outcome: 'incomplete' }>

interface Waiting {
  readonly pdu: JsonObject
  readonly receipt: Incomplete
}

// Each may cost as many requests as there are state events to fetch.
const mostBridges = 5
const mostParents = 5
// Beyond this many unknown state events, or half of the requests that are left, the whole state is asked for at once.
const singleEventsLimit = 60

/**
 * Hands in what was given of the missing events, the lowest first, then has those that wait for them judged. An event that
 * waits is bridged itself only where its parents are known: as state, say, that was set before this server came.
 */
export async function pullIn(
  asking: Asking,
  given: readonly JsonObject[],
  waitingFor: readonly DueEvent[],
): Promise<void> {
  const { env, roomId } = asking
  const room = roomStub(env, roomId)
  let pdus = [...given]
  for (let bridges = 0; pdus.length > 0; bridges++) {
    const waiting = await receive(asking, pdus)
    const [lowest] = waiting
    if (!lowest || bridges === mostBridges) break
    await bridge(asking, lowest)
    // Whether that has helped or not, it is not tried again.
    pdus = waiting.slice(1).map(({ pdu }) => pdu)
  }
  for (const { eventId, text, parents } of waitingFor.slice(0, mostBridges)) {
    const unknown = await room.unknownEvents([eventId, ...parents])
    if (unknown.length !== 1 || unknown[0] !== eventId) continue
    // The room's own text.
    const pdu = JSON.parse(text) as JsonObject
    const [receipt] = await receiveSigned(asking, [pdu])
    if (receipt?.outcome === 'incomplete') await bridge(asking, { pdu, receipt })
  }
}

/** Hands in events. Returns those that lack others. */
async function receive(asking: Asking, pdus: readonly JsonObject[]): Promise<Waiting[]> {
  const receipts = await receiveSigned(asking, pdus)
  return receipts.flatMap((receipt, i) => {
    const pdu = pdus[i]
    return receipt.outcome === 'incomplete' && pdu ? [{ pdu, receipt }] : []
  })
}

async function bridge(asking: Asking, { pdu, receipt }: Waiting): Promise<void> {
  const { env, roomId, server } = asking
  const room = roomStub(env, roomId)
  const parents = await room.parentsWithoutState(pdu)
  if (parents.length > mostParents) return
  const given: GivenState[] = []
  for (const parent of parents) {
    const state = await stateBefore(asking, parent)
    if (!state) return
    given.push({ parent, state })
  }
  // Nearly always part of what the state rests upon.
  const authEvents = receipt.missing.filter((id) => !parents.includes(id))
  if (authEvents.length > 0 && (await room.unknownEvents(authEvents)).length > 0) {
    await stage(asking, await authChainFrom(asking, receipt.eventId))
  }
  const across = { pdu, keys: await eventKeys(env, [pdu]), given, servers: [server] }
  const bridged = await room.receiveAcrossGap(across)
  if (bridged.outcome !== 'unsigned') return
  await askPolicyServer(asking, [bridged.unsigned])
  await room.receiveAcrossGap(across)
}

/** The state before a parent, its events and the parent handed in. Undefined where the server does not give them. */
async function stateBefore(asking: Asking, parent: EventId): Promise<EventId[] | undefined> {
  const room = roomStub(asking.env, asking.roomId)
  const ids = await stateIdsFrom(asking, parent)
  if (!ids) return undefined
  const unknown = await room.unknownEvents([...ids.authChain, ...ids.state, parent])
  if (unknown.length > Math.min(singleEventsLimit, asking.budget.left / 2)) {
    await stage(asking, await stateFrom(asking, parent))
    if (unknown.includes(parent)) await stage(asking, await eventsFrom(asking, [parent]))
  } else await stage(asking, await eventsFrom(asking, unknown))
  const lacking = await room.unknownEvents([parent])
  return lacking.length === 0 ? ids.state : undefined
}
