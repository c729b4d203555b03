// What the room sends of its own accord: guests who leave, events that merge forks. Where its policy server has to be asked first,
// the EventFetcher does that, and has the room go on.
// Specification: client-server API, "Guest Access"; server-server API, "Policy Servers".

import { eventFetcherStub } from '../env.ts'
import { errorMessage, log } from '../log.ts'
import { identity, type RoomContext } from './context.ts'
import { mergeExtremities } from './merge-extremities.ts'
import { armAlarm } from './outbox.ts'
import { PolicySignatureMissing } from './policy-server.ts'
import { guestsAreRemoved, removeGuests } from './remove-guests.ts'

// How long after an attempt that did not help comes the next one.
const againMs = 60_000

/** Sends what is due. Whether events were sent. Throws PolicySignatureMissing. */
export async function sendOwnEvents(room: RoomContext): Promise<boolean> {
  const removed = !guestsAreRemoved(room) && (await removeGuests(room))
  const merged = await mergeExtremities(room)
  return removed || merged
}

/** The alarm's part. The same, but that it never throws for the policy server. */
export async function sendOrHandOver(room: RoomContext): Promise<boolean> {
  try {
    return await sendOwnEvents(room)
  } catch (error) {
    if (!(error instanceof PolicySignatureMissing)) throw error
    armAlarm(room, againMs)
    await handOver(room)
    return false
  }
}

async function handOver(room: RoomContext): Promise<void> {
  const { roomId } = identity(room)
  try {
    await eventFetcherStub(room.env, roomId).resume(roomId)
  } catch (error) {
    log({ event: 'own_events_failed', room_id: roomId, error: errorMessage(error) })
  }
}
