// Doing the same in many rooms: a few at a time, the first ones before the answer.

import type { AppContext } from '../http/app-type.ts'
import { errorMessage, log } from '../log.ts'
import type { RoomId } from '../matrix/event.ts'

const atOnce = 6
const beforeAnswer = 20

/**
 * Runs `work` for each room. The promise is fulfilled after the first 20 of them, the others go on after the answer.
 * A room that fails is logged and does not hold up the others.
 */
export async function acrossRooms(
  c: AppContext,
  roomIds: readonly RoomId[],
  work: (roomId: RoomId) => Promise<void>,
): Promise<void> {
  await inTurn(roomIds.slice(0, beforeAnswer), work)
  const later = roomIds.slice(beforeAnswer)
  if (later.length > 0) c.executionCtx.waitUntil(inTurn(later, work))
}

async function inTurn(roomIds: readonly RoomId[], work: (roomId: RoomId) => Promise<void>): Promise<void> {
  const queue = [...roomIds]
  const worker = async (): Promise<void> => {
    for (let roomId = queue.shift(); roomId !== undefined; roomId = queue.shift()) {
      try {
        await work(roomId)
      } catch (error) {
        log({ event: 'member_update_failed', room_id: roomId, error: errorMessage(error) })
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, queue.length) }, worker))
}
