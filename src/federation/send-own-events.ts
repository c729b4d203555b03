// What a room with a policy server sends by itself: delayed events, guests who leave, events that merge forks. What the room's own
// alarm does elsewhere is done here, where the network may be waited for.
// Server-server API, "Policy Servers"; not in the specification yet: MSC4140.

import { type Env, roomStub } from '../env.ts'
import { isMatrixError, type MatrixError } from '../errors.ts'
import { errorMessage, log } from '../log.ts'
import type { RoomId } from '../matrix/event.ts'
import { writeTo } from './write-to-room.ts'

/** Sends what is due. Where the policy server cannot be asked, the room's alarm calls again. */
export async function sendOwnEvents(env: Env, roomId: RoomId): Promise<void> {
  const room = roomStub(env, roomId)
  for (const delayId of await room.dueForPolicyServer()) {
    const error = await refusalOf(() => writeTo(env, room, (own) => own.changeDelayed(delayId, 'send')))
    if (error && (error.status >= 500 || error.status === 429)) return failed(roomId, error)
    // What the policy server refuses is cancelled.
    if (error) await room.refuseDelayed(delayId, { errcode: error.errcode, error: error.message })
  }
  const error = await refusalOf(() => writeTo(env, room, (own) => own.sendOwnEvents()))
  if (error) failed(roomId, error)
}

async function refusalOf(send: () => Promise<void>): Promise<MatrixError | undefined> {
  try {
    await send()
    return undefined
  } catch (error) {
    if (isMatrixError(error)) return error
    throw error
  }
}

function failed(roomId: RoomId, error: MatrixError): void {
  log({ event: 'own_events_failed', room_id: roomId, error: errorMessage(error) })
}
