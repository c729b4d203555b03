// Transactions of other servers: events grouped by room, each room at its own pace, and ephemeral data. What cannot be judged
// yet is kept by its room before the answer, so that fetching what it lacks need not be waited for.
// Specification: server-server API, "Transactions", "PDUs", "EDUs".

import * as v from 'valibot'
import { MatrixError } from '../../errors.ts'
import type { Env } from '../../env.ts'
import { isMatrixError } from '../../errors.ts'
import { errorMessage, log } from '../../log.ts'
import type { RoomId, ServerName } from '../../matrix/event.ts'
import { parseRoomId } from '../../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, type JsonValue, property, stringProperty } from '../../matrix/json.ts'
import type { SentReceipt } from '../../room/receive-from.ts'
import type { FederationRequest } from '../../http/federation-auth.ts'
import { checked } from '../../http/json-body.ts'
import { receiveElsewhere } from '../receive/receive-elsewhere.ts'
import { completeKept, receiveInRoom } from '../receive/receive-in-room.ts'
import { receiveEdus } from './edus.ts'
import type { FederationRouter } from './router.ts'

const mostPdus = 50
const mostEdus = 100
// What is not done by then goes on after the answer. Events have been handed over when their room has seen them.
const longestAnswerMs = 25_000
// The answer waits so long for what events lack, which slows down a server that sends many of them.
const longestFetchMs = 5_000

// The first three are required; who the origin is, only the signature says. Servers that have no events send null.
const transactionBody = v.looseObject({
  origin: v.string(),
  origin_server_ts: v.pipe(v.number(), v.integer()),
  pdus: v.nullable(v.array(v.unknown())),
  edus: v.nullish(v.array(v.unknown())),
})

export function transactionRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1sendtxnid
  router.put(
    '/_matrix/federation/v1/send/:txnId',
    async (c, request) => {
      checked(transactionBody, request.content, 'M_BAD_JSON')
      const pdus = objectsOf(request, 'pdus', mostPdus)
      const edus = objectsOf(request, 'edus', mostEdus)
      const results: JsonObject = {}
      const rooms = [...byRoom(pdus)].map(async ([roomId, ofRoom]) => ({
        roomId,
        receipts: await receiveRoom(c.env, request.origin, roomId, ofRoom, results),
      }))
      const work = Promise.all([...rooms, receiveEdus(c.env, request.origin, edus)])
      const fetching = Promise.all(
        rooms.map(async (room) => await fetchKept(c.env, request.origin, await room)),
      )
      c.executionCtx.waitUntil(Promise.all([work, fetching]))
      await Promise.race([work, scheduler.wait(longestAnswerMs)])
      await Promise.race([fetching, scheduler.wait(longestFetchMs)])
      return c.json({ pdus: results })
    },
    // Fifty events of 64 KiB, and what is around them.
    { maxBytes: 6 * 1024 * 1024 },
  )
}

/** The objects of a list in the body. Those with numbers that canonical JSON has no form for are left out. */
function objectsOf({ content, faults }: FederationRequest, key: 'pdus' | 'edus', most: number): JsonObject[] {
  const list = property(content, key)
  if (!Array.isArray(list)) return []
  if (list.length > most) throw new MatrixError('M_TOO_LARGE', 413, `${key} holds more than ${most} entries`)
  const faulty = new Set(faults.filter(({ path }) => path[0] === key).map(({ path }) => path[1]))
  return list.filter((item: JsonValue, i): item is JsonObject => isJsonObject(item) && !faulty.has(i))
}

function byRoom(pdus: readonly JsonObject[]): Map<RoomId, JsonObject[]> {
  const rooms = new Map<RoomId, JsonObject[]>()
  for (const pdu of pdus) {
    const roomId = parseRoomId(stringProperty(pdu, 'room_id') ?? '')
    // Without a room nothing can be said of an event, not even its id.
    if (roomId) rooms.set(roomId, [...(rooms.get(roomId) ?? []), pdu])
  }
  return rooms
}

/** Receives the events of one room and notes what became of each. Never throws: one room does not fail the others. */
async function receiveRoom(
  env: Env,
  origin: ServerName,
  roomId: RoomId,
  pdus: readonly JsonObject[],
  results: JsonObject,
): Promise<readonly SentReceipt[]> {
  try {
    const receipts = await receivePdus(env, origin, roomId, pdus)
    for (const receipt of receipts) note(origin, roomId, receipt, results)
    return receipts
  } catch (error) {
    // Shut out of the room: there is no event id to answer with. Anything else is ours to look at.
    if (!isMatrixError(error)) {
      log({ event: 'transaction_room_failed', room_id: roomId, server: origin, error: errorMessage(error) })
    }
    return []
  }
}

async function fetchKept(
  env: Env,
  origin: ServerName,
  { roomId, receipts }: { roomId: RoomId; receipts: readonly SentReceipt[] },
): Promise<void> {
  try {
    await completeKept(env, roomId, receipts)
  } catch (error) {
    // The room's alarm has it tried again.
    log({ event: 'missing_events_failed', room_id: roomId, server: origin, error: errorMessage(error) })
  }
}

async function receivePdus(
  env: Env,
  origin: ServerName,
  roomId: RoomId,
  pdus: readonly JsonObject[],
): Promise<SentReceipt[]> {
  try {
    const receipts = await receiveInRoom(env, origin, roomId, pdus)
    // As long as it is joined, an invite can still be taken back, which ends it if the join comes to nothing.
    const isJoining = receipts.some((receipt) => receipt.outcome === 'kept' && receipt.joining)
    if (isJoining) await receiveElsewhere(env, origin, roomId, pdus)
    return receipts
  } catch (error) {
    if (!isMatrixError(error) || error.errcode !== 'M_NOT_FOUND') throw error
    // Of a room that this server is not in, what became of the invites of its users is all that counts.
    await receiveElsewhere(env, origin, roomId, pdus)
    return []
  }
}

function note(origin: ServerName, roomId: RoomId, receipt: SentReceipt, results: JsonObject): void {
  const refusal = refusalOf(receipt)
  const eventId = 'eventId' in receipt ? receipt.eventId : undefined
  if (eventId) results[eventId] = refusal ? { error: refusal.reason } : {}
  if (!refusal) return
  const { outcome } = receipt
  log({ event: 'pdu_refused', room_id: roomId, event_id: eventId ?? '', server: origin, outcome, ...refusal })
}

// What became of an accepted event, soft-failed or not, is no business of other servers; a kept one was handed over.
function refusalOf(receipt: SentReceipt): { rule: string; reason: string } | undefined {
  if (receipt.outcome === 'incomplete') {
    return { rule: 'incomplete', reason: 'too many events wait for others that they build upon' }
  }
  if (receipt.outcome !== 'rejected' && receipt.outcome !== 'dropped') return undefined
  return { rule: receipt.rule, reason: receipt.reason }
}
