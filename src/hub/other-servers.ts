// What users of this shard do beside events, for the other servers of a room: typing and receipts.
// Specification: server-server API, "Typing Notifications", "Receipts".

import { federationSenderStub } from '../env.ts'
import type { RoomEdu } from '../federation/sender/edus.ts'
import { errorMessage, log } from '../log.ts'
import type { RoomId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import type { ReceiptRequest } from './set-receipt.ts'
import type { TypingRequest } from './set-typing.ts'
import { tellAppservicesTyping } from './tell-appservices.ts'

// Rooms → whether they have other servers. What is forgotten costs a call.
const rememberedRooms = 10_000
const federated = new WeakMap<HubContext, Map<RoomId, boolean>>()

/** Remembers whether a room has other servers: nothing is told about one that has none. */
export function rememberFederated(hub: HubContext, roomId: RoomId, isFederated: boolean): void {
  const rooms = federated.get(hub) ?? new Map<RoomId, boolean>()
  if (rooms.size >= rememberedRooms) rooms.clear()
  rooms.set(roomId, isFederated)
  federated.set(hub, rooms)
}

function tellOtherServers(hub: HubContext, edu: RoomEdu): void {
  if (federated.get(hub)?.get(edu.roomId) === false) return
  // Nobody waits for it, and nothing is lost that matters in a minute.
  void tellSender(hub, edu)
}

async function tellSender(hub: HubContext, edu: RoomEdu): Promise<void> {
  try {
    const isFederated = await federationSenderStub(hub.env).tellEdu(edu)
    // What the room itself has said meanwhile is newer.
    if (federated.get(hub)?.has(edu.roomId) !== true) rememberFederated(hub, edu.roomId, isFederated)
  } catch (error) {
    log({ event: 'edu_not_told', room_id: edu.roomId, error: errorMessage(error) })
  }
}

// Others count a user as typing for half a minute, some for a minute.
const repeatedMs = 20_000
const toldTyping = new WeakMap<HubContext, Map<string, number>>()

/** Tells other servers, and application services, that a user of this shard types, still types, or has stopped. */
export function tellTyping(
  hub: HubContext,
  { userId, roomId, typing }: Omit<TypingRequest, 'timeout'>,
): void {
  const told = toldTyping.get(hub) ?? new Map<string, number>()
  toldTyping.set(hub, told)
  const key = `${roomId} ${userId}`
  const last = told.get(key)
  if (typing ? last !== undefined && hub.now() - last < repeatedMs : last === undefined) return
  if (typing) told.set(key, hub.now())
  else told.delete(key)
  tellOtherServers(hub, { type: 'm.typing', roomId, userId, typing })
  tellAppservicesTyping(hub, { roomId, userId, typing })
}

/** Tells other servers how far a user of this shard has read. Private receipts stay here. */
export function tellReceipt(
  hub: HubContext,
  { type, userId, roomId, eventId, ts, threadId }: ReceiptRequest,
): void {
  if (type !== 'm.read') return
  const thread = threadId === undefined ? {} : { threadId }
  tellOtherServers(hub, { type: 'm.receipt', userId, roomId, eventId, ts, ...thread })
}
