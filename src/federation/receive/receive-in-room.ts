// PDUs that another server sent, received into their room.
// Specification: server-server API, "Checks performed on receipt of a PDU", "Transactions".

import { type Env, eventFetcherStub, roomStub } from '../../env.ts'
import type { RoomId, ServerName } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { SentReceipt } from '../../room/receive-from.ts'
import type { FinalReceipt } from '../../room/receive-pdu.ts'
import { eventKeys } from './event-keys.ts'

/**
 * Receives PDUs of one room that `origin` sent. The receipts are in the order of the PDUs. What builds upon events that are
 * not here is kept by the room: `completeKept` has those fetched, if not now then by the room's alarm. Errors as the room's
 * `receiveFrom`.
 */
export async function receiveInRoom(
  env: Env,
  origin: ServerName,
  roomId: RoomId,
  pdus: readonly JsonObject[],
): Promise<SentReceipt[]> {
  return await roomStub(env, roomId).receiveFrom(origin, pdus, await eventKeys(env, pdus))
}

/** Has what the kept events build upon fetched now. */
export async function completeKept(
  env: Env,
  roomId: RoomId,
  receipts: readonly SentReceipt[],
): Promise<void> {
  if (!receipts.some((receipt) => receipt.outcome === 'kept' && !receipt.joining)) return
  await eventFetcherStub(env, roomId).complete(roomId)
}

/** Receives one PDU, and waits for what it builds upon. */
export async function receiveCompletely(
  env: Env,
  origin: ServerName,
  roomId: RoomId,
  pdu: JsonObject,
): Promise<FinalReceipt | undefined> {
  const receipts = await receiveInRoom(env, origin, roomId, [pdu])
  await completeKept(env, roomId, receipts)
  const [receipt] = receipts
  if (receipt?.outcome !== 'kept') return receipt
  const { eventId } = receipt
  const [accepted] = await roomStub(env, roomId).pduTexts([eventId])
  if (typeof accepted === 'string') return { outcome: 'accepted', eventId }
  return { outcome: 'incomplete', eventId, missing: [] }
}
