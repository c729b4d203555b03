// Calls of a room that make or take in events: where the room has a policy server that has not signed such an event yet, it is
// asked here, where the network may be waited for, and the call is made again.
// Specification: server-server API, "Policy Servers".

import { type Env, roomStub } from '../env.ts'
import { isMatrixError } from '../errors.ts'
import type { RoomId } from '../matrix/event.ts'
import type { UnsignedEvent } from '../room/policy-server.ts'
import { policySignature } from './client/policy-server.ts'

type RoomStub = ReturnType<typeof roomStub>

// The most events that a call makes, and some that are made anew because the room has gone on.
const mostSignatures = 8

/**
 * What `write` answers. Throws what it throws, and as `policySignature`: what the policy server refuses is not sent. `write` may
 * run several times, of which only the last changes the room.
 */
export function writeToRoom<R>(env: Env, roomId: RoomId, write: (room: RoomStub) => R): Promise<Awaited<R>> {
  return writeTo(env, roomStub(env, roomId), write)
}

/** The same for a caller that knows the room by its object. */
export async function writeTo<R>(
  env: Env,
  room: RoomStub,
  write: (room: RoomStub) => R,
): Promise<Awaited<R>> {
  for (let asked = 0; ; asked++) {
    try {
      return await write(room)
    } catch (error) {
      const unsigned = unsignedOf(error)
      if (!unsigned || asked >= mostSignatures) throw error
      await room.policyAnswered(unsigned.eventId, await policySignature(env, unsigned))
    }
  }
}

/** The event that a PolicySignatureMissing names, also one that crossed RPC and lost its class. */
function unsignedOf(error: unknown): UnsignedEvent | undefined {
  if (!isMatrixError(error) || !('unsigned' in error)) return undefined
  // Only our own rooms throw it.
  return error.unsigned as UnsignedEvent
}
