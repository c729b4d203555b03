// Delayed events of a room with a policy server: what the room's own alarm does elsewhere is done here, where the network may
// be waited for. Not in the specification yet: MSC4140; server-server API, "Policy Servers".

import { type Env, roomStub } from '../env.ts'
import { isMatrixError } from '../errors.ts'
import { errorMessage, log } from '../log.ts'
import type { RoomId } from '../matrix/event.ts'
import { writeTo } from './write-to-room.ts'

/** Sends what is due. What the policy server refuses is cancelled; where it cannot be asked, the room's alarm calls again. */
export async function sendDelayed(env: Env, roomId: RoomId): Promise<void> {
  const room = roomStub(env, roomId)
  for (const delayId of await room.dueForPolicyServer()) {
    try {
      await writeTo(env, room, (writable) => writable.changeDelayed(delayId, 'send'))
    } catch (error) {
      if (!isMatrixError(error)) throw error
      const { errcode, message, status } = error
      if (status >= 500 || status === 429) {
        log({ event: 'delayed_events_failed', room_id: roomId, error: errorMessage(error) })
        return
      }
      await room.refuseDelayed(delayId, { errcode, error: message })
    }
  }
}
