// Events of other servers that the policy server of their room has not signed: it is asked for that.
// Specification: server-server API, "Validating Policy Server signatures".

import { roomStub } from '../../env.ts'
import { errorMessage, log } from '../../log.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { UnsignedEvent } from '../../room/policy-server.ts'
import type { Receipt } from '../../room/receive-pdu.ts'
import { policySignature } from '../client/policy-server.ts'
import { type Asking, spend } from './asking.ts'
import { eventKeys } from './event-keys.ts'

// Workers have six connections.
const atOnce = 6

/** Asks about events and tells the room. What cannot be asked about is not recommended: those events are soft-failed. */
export async function askPolicyServer(asking: Asking, unsigned: readonly UnsignedEvent[]): Promise<void> {
  const room = roomStub(asking.env, asking.roomId)
  for (let at = 0; at < unsigned.length; at += atOnce) {
    const asked = unsigned.slice(at, at + atOnce).map(async (event) => {
      spend(asking)
      await room.policyAnswered(event.eventId, await signatureOrNull(asking, event))
    })
    await Promise.all(asked)
  }
}

async function signatureOrNull({ env, roomId }: Asking, event: UnsignedEvent): Promise<string | null> {
  try {
    return await policySignature(env, event)
  } catch (error) {
    const { via: server, eventId } = event
    log({
      event: 'policy_server_failed',
      room_id: roomId,
      server,
      event_id: eventId,
      error: errorMessage(error),
    })
    return null
  }
}

/** Hands events in, and again those that the policy server was asked about meanwhile. The receipts are in their order. */
export async function receiveSigned(asking: Asking, pdus: readonly JsonObject[]): Promise<Receipt[]> {
  const room = roomStub(asking.env, asking.roomId)
  const keys = await eventKeys(asking.env, pdus)
  for (;;) {
    const receipts = await room.receivePdus(pdus, keys)
    const unsigned = receipts.flatMap((receipt) => (receipt.outcome === 'unsigned' ? [receipt.unsigned] : []))
    if (unsigned.length === 0) return receipts
    // Each round spends requests, of which there are so many.
    await askPolicyServer(asking, unsigned)
  }
}
