// Telling application services of what happens in rooms beside events: who types, and how far somebody has read.
// Specification: application service API, "Pushing ephemeral data"; MSC2409.

import { appserviceSenderStub, type Env } from '../env.ts'
import { errorMessage, log } from '../log.ts'
import type { RoomId } from '../matrix/event.ts'
import { ephemeralListeners } from './listeners.ts'
import type { Appservice } from './registration.ts'
import type { ReceiptEdu, TypingEdu } from './sender/edus.ts'

// How long it may take until one that is interested in a room now is told, unless `interestMayCome` says so before.
const uninterestedMs = 10_000
const rememberedRooms = 10_000
/** Application services and rooms → until when they need not be asked again, in milliseconds. */
const uninterested = new Map<string, number>()

/** Notes that some may be interested in a room now that were not before. */
export function interestMayCome(env: Env, roomId: RoomId): void {
  for (const { id } of ephemeralListeners(env)) uninterested.delete(keyOf(id, roomId))
}

function keyOf(id: string, roomId: RoomId): string {
  return `${id} ${roomId}`
}

/** Tells all that want to know. Never rejects: what is lost is worth nothing in a minute. */
export async function tellRoomEdu(env: Env, edu: TypingEdu | ReceiptEdu): Promise<void> {
  await Promise.all(ephemeralListeners(env).map((appservice) => tellOne(env, appservice, edu)))
}

async function tellOne(env: Env, { id }: Appservice, edu: TypingEdu | ReceiptEdu): Promise<void> {
  const key = keyOf(id, edu.roomId)
  if ((uninterested.get(key) ?? 0) > Date.now()) return
  try {
    const isInterested = await appserviceSenderStub(env, id).tellRoomEdu(edu)
    if (isInterested) return
    if (uninterested.size >= rememberedRooms) uninterested.clear()
    uninterested.set(key, Date.now() + uninterestedMs)
  } catch (error) {
    log({ event: 'appservice_not_told', appservice: id, room_id: edu.roomId, error: errorMessage(error) })
  }
}
