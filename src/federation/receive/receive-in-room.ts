// PDUs that another server sent, received into their room; what they build upon and is not here is fetched first.
// Bounded: a gap too deep to walk is bridged by the state that the other server gives.
// Specification: server-server API, "Checks performed on receipt of a PDU", "Backfilling and retrieving missing events".

import { type Env, roomStub } from '../../env.ts'
import { errorMessage, log } from '../../log.ts'
import type { EventId, RoomId, ServerName } from '../../matrix/event.ts'
import { type JsonObject, property } from '../../matrix/json.ts'
import type { Receipt } from '../../room/receive-pdu.ts'
import { eventKeys } from './event-keys.ts'
import { authChainFrom, eventsFrom, missingEventsFrom, stateFrom, stateIdsFrom } from './fetch-events.ts'

type Incomplete = Extract<Receipt, { outcome: 'incomplete' }>

// Deeper gaps are left to pagination.
const missingEventsLimit = 50
// Beyond this many unknown state events the whole state is asked for at once.
const singleEventsLimit = 60
// Keeps a call far below what one RPC carries.
const eventsPerCall = 200

/** Receives PDUs of one room that `origin` sent. The receipts are in the order of the PDUs. */
export async function receiveInRoom(
  env: Env,
  origin: ServerName,
  roomId: RoomId,
  pdus: readonly JsonObject[],
): Promise<Receipt[]> {
  const first = await roomStub(env, roomId).receiveFrom(origin, pdus, await eventKeys(env, pdus))
  const receipts: Receipt[] = []
  for (const [i, receipt] of first.entries()) {
    const pdu = pdus[i]
    if (receipt.outcome !== 'incomplete' || !pdu) receipts.push(receipt)
    else receipts.push(await completed(env, origin, roomId, { pdu, receipt }))
  }
  return receipts
}

async function receive(env: Env, roomId: RoomId, pdus: readonly JsonObject[]): Promise<Receipt[]> {
  if (pdus.length === 0) return []
  return await roomStub(env, roomId).receivePdus(pdus, await eventKeys(env, pdus))
}

interface Pending {
  readonly pdu: JsonObject
  readonly receipt: Incomplete
}

/** Fetches what an event lacks, in steps of rising cost, until it can be judged. */
async function completed(env: Env, origin: ServerName, roomId: RoomId, pending: Pending): Promise<Receipt> {
  let { receipt } = pending
  try {
    // What it lacked may have been in the same transaction, and be here by now.
    const again = await receiveOne(env, roomId, pending.pdu, receipt)
    if (again.outcome !== 'incomplete') return again
    receipt = again
    // Where only auth events are missing there is no gap in the timeline.
    const steps = lacksParents({ ...pending, receipt })
      ? [fetchMissing, fetchAuthChain, bridge]
      : [fetchAuthChain, fetchNamed]
    for (const step of steps) {
      const next = await step(env, origin, roomId, { ...pending, receipt })
      if (next.outcome !== 'incomplete') return next
      receipt = next
    }
  } catch (error) {
    log({ event: 'missing_events_failed', room_id: roomId, server: origin, error: errorMessage(error) })
  }
  return receipt
}

function lacksParents({ pdu, receipt }: Pending): boolean {
  const parents = cited(pdu, 'prev_events')
  return receipt.missing.some((id) => parents.includes(id))
}

function lacksAuthEvents({ pdu, receipt }: Pending): boolean {
  const authEvents = cited(pdu, 'auth_events')
  return receipt.missing.some((id) => authEvents.includes(id))
}

// Versions 1 and 2 name events by pairs of id and hash.
function cited(pdu: JsonObject, key: 'prev_events' | 'auth_events'): unknown[] {
  const list = property(pdu, key)
  return Array.isArray(list) ? list.map((entry) => (Array.isArray(entry) ? entry[0] : entry)) : []
}

// The missing events one by one, as the last resort for auth events.
async function fetchNamed(
  env: Env,
  origin: ServerName,
  roomId: RoomId,
  { pdu, receipt }: Pending,
): Promise<Receipt> {
  await stage(env, roomId, await eventsFrom(env, origin, receipt.missing.slice(0, singleEventsLimit)))
  return await receiveOne(env, roomId, pdu, receipt)
}

// The usual gap: a few events that were sent while we did not listen.
async function fetchMissing(
  env: Env,
  origin: ServerName,
  roomId: RoomId,
  { pdu, receipt }: Pending,
): Promise<Receipt> {
  const extremities = await roomStub(env, roomId).extremityIds()
  const missing = await missingEventsFrom(env, origin, roomId, {
    earliest: extremities,
    latest: [receipt.eventId],
    limit: missingEventsLimit,
  })
  const receipts = await receive(env, roomId, missing)
  const lowest = receipts.findIndex(({ outcome }) => outcome === 'incomplete')
  const [lowestReceipt, lowestPdu] = [receipts[lowest], missing[lowest]]
  if (lowestReceipt?.outcome === 'incomplete' && lowestPdu) {
    // The walk did not reach what we have: the lowest of them is bridged, the others then build upon it.
    await fetchAuthChain(env, origin, roomId, { pdu: lowestPdu, receipt: lowestReceipt })
    await bridge(env, origin, roomId, { pdu: lowestPdu, receipt: lowestReceipt })
    await receive(env, roomId, missing)
  }
  return await receiveOne(env, roomId, pdu, receipt)
}

async function receiveOne(env: Env, roomId: RoomId, pdu: JsonObject, receipt: Incomplete): Promise<Receipt> {
  const [again] = await receive(env, roomId, [pdu])
  return again ?? receipt
}

async function fetchAuthChain(
  env: Env,
  origin: ServerName,
  roomId: RoomId,
  { pdu, receipt }: Pending,
): Promise<Receipt> {
  if (!lacksAuthEvents({ pdu, receipt })) return receipt
  await stage(env, roomId, await authChainFrom(env, origin, roomId, receipt.eventId))
  return await receiveOne(env, roomId, pdu, receipt)
}

// The state before the event as the origin has it, with only the unknown events fetched.
async function bridge(
  env: Env,
  origin: ServerName,
  roomId: RoomId,
  { pdu, receipt }: Pending,
): Promise<Receipt> {
  const ids = await stateIdsFrom(env, origin, roomId, receipt.eventId)
  if (!ids) return receipt
  const room = roomStub(env, roomId)
  const unknown = await room.unknownEvents([...ids.authChain, ...ids.state])
  await stage(
    env,
    roomId,
    unknown.length > singleEventsLimit
      ? await stateFrom(env, origin, roomId, receipt.eventId)
      : await eventsFrom(env, origin, unknown),
  )
  const lacking = new Set<EventId>(await room.unknownEvents(ids.state))
  return await room.receiveAcrossGap({
    pdu,
    keys: await eventKeys(env, [pdu]),
    // What nobody can show is not part of the state.
    state: ids.state.filter((id) => !lacking.has(id)),
    servers: [origin],
  })
}

/** Hands outliers to the room, in calls of bounded size. */
export async function stage(env: Env, roomId: RoomId, pdus: readonly JsonObject[]): Promise<void> {
  for (let at = 0; at < pdus.length; at += eventsPerCall) {
    const chunk = pdus.slice(at, at + eventsPerCall)
    await roomStub(env, roomId).receiveOutliers(chunk, await eventKeys(env, chunk))
  }
}
