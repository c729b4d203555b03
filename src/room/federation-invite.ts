// Invites that other servers send to users of this one, where this server is in the room itself: they are countersigned
// and received like every other PDU. Those to rooms elsewhere never come here, see hub/remote-invite.ts.
// Specification: server-server API, "Inviting to a room".

import { MatrixError } from '../errors.ts'
import type { ServerName, UserId } from '../matrix/event.ts'
import { countersignEvent } from '../matrix/event-signature.ts'
import type { JsonObject } from '../matrix/json.ts'
import { transact } from './append.ts'
import { identity, type RoomContext, type Signer } from './context.ts'
import { eventStatus, findEvent } from './events.ts'
import { registerLocalUser } from './fan-out.ts'
import { isResident, requireAllowed } from './federation-access.ts'
import { receivePdu, requireSigned, type ServerKeySet } from './receive-pdu.ts'

export interface ReceiveInviteRequest {
  readonly origin: ServerName
  /** Checked before to be an invite of this room for the user. */
  readonly pdu: JsonObject
  readonly keys: ServerKeySet
  readonly userId: UserId
  /** The Hub shard of the user. */
  readonly shard: number
}

/**
 * Takes an invite in. The event with our signature as JSON text, undefined where this server is not in the room.
 * M_FORBIDDEN where the rules or the room's ACL refuse it, M_INVALID_PARAM.
 */
export function receiveInvite(
  room: RoomContext,
  signer: Signer,
  { origin, pdu, keys, userId, shard }: ReceiveInviteRequest,
): string | undefined {
  if (!isResident(room)) return undefined
  requireAllowed(room, origin)
  const { rules } = identity(room)
  const countersigned = countersignEvent(pdu, rules, room.serverName, signer.keyId, signer.key)
  const receipt = transact(room, () => {
    registerLocalUser(room, userId, shard)
    return requireSigned(receivePdu(room, countersigned, keys))
  })
  switch (receipt.outcome) {
    case 'dropped':
      throw new MatrixError('M_INVALID_PARAM', 400, `Invalid event: ${receipt.reason}`)
    case 'rejected':
    case 'soft-failed':
      throw new MatrixError('M_FORBIDDEN', 403, receipt.reason)
    case 'known':
      if (findEvent(room, receipt.eventId)?.status !== eventStatus.accepted) {
        throw new MatrixError('M_FORBIDDEN', 403, 'The invite was refused before')
      }
      break
    case 'accepted':
    // What it builds upon is on its way: the invite comes again by a transaction, and is judged then.
    case 'incomplete':
      break
  }
  return JSON.stringify(countersigned)
}
