// Member events of other servers' users that came by this server: checked, countersigned where this server vouches for
// them, received like every other PDU, and noted to be sent on.
// Specification: server-server API, "Joining Rooms", "Restricted rooms", "Leaving Rooms", "Knocking upon a room".

import { MatrixError } from '../errors.ts'
import type { Event, RoomId, ServerName, UserId } from '../matrix/event.ts'
import { checkedEvent } from '../matrix/event-format.ts'
import { countersignEvent } from '../matrix/event-signature.ts'
import { parseUserId, serverNameOf } from '../matrix/identifiers.ts'
import { type JsonObject, stringProperty } from '../matrix/json.ts'
import { identity, type RoomContext, type Signer } from './context.ts'
import { eventStatus, findEvent, type StoredEvent } from './events.ts'
import { requireResident } from './federation-access.ts'
import { type FinalReceipt, receivePdu, requireSigned, type ServerKeySet } from './receive-pdu.ts'
import { markRelayed } from './relayed.ts'
import { authoriseRestrictedJoin } from './restricted-join.ts'
import { transact } from './append.ts'

export interface SendMembershipRequest {
  readonly origin: ServerName
  readonly membership: 'join' | 'leave' | 'knock'
  /** The event id that the path names. */
  readonly eventId: string
  readonly pdu: JsonObject
  /** Whether the event's text was strict canonical JSON, as far as its values do not show it. */
  readonly strictJson: boolean
  readonly keys: ServerKeySet
  /** Those of the rooms asked about before that a joining user is joined to. */
  readonly memberOf?: readonly RoomId[]
}

export type SentMembership =
  | {
      readonly stored: StoredEvent
      /** The event with our signature, where this server vouches for the join. */
      readonly countersigned?: JsonObject
    }
  | { readonly needsMembership: readonly RoomId[] }

/**
 * Receives a member event. M_NOT_FOUND where this server is not in the room, M_INVALID_PARAM for what is no such event,
 * M_FORBIDDEN where the rules refuse it, M_UNABLE_TO_GRANT_JOIN.
 */
export function receiveMembership(
  room: RoomContext,
  signer: Signer,
  request: SendMembershipRequest,
): SentMembership {
  const { origin, membership, keys } = request
  requireResident(room, origin)
  const event = checkedMembership(room, request)
  const authoriser = membership === 'join' ? ownAuthoriser(room, event) : undefined
  if (authoriser === undefined) return { stored: keepMembership(room, request.pdu, keys) }
  // Our signature says that the user meets a condition: the claim is checked again, whatever the template said.
  const authorisation = authoriseRestrictedJoin(room, event.sender, request.memberOf)
  if ('needsMembership' in authorisation) return authorisation
  const { rules } = identity(room)
  const countersigned = countersignEvent(request.pdu, rules, room.serverName, signer.keyId, signer.key)
  const ownKey = { key: signer.key.publicKey, validUntilTs: Number.MAX_SAFE_INTEGER }
  const allKeys = { ...keys, [room.serverName]: { [signer.keyId]: ownKey } }
  return { stored: keepMembership(room, countersigned, allKeys), countersigned }
}

function checkedMembership(room: RoomContext, request: SendMembershipRequest): Event {
  const { rules, roomId } = identity(room)
  const format = checkedEvent(request.pdu, rules)
  if (!format.ok) throw invalid(format.reason)
  if (rules.strictCanonicalJson && !request.strictJson) throw invalid('the event is not canonical JSON')
  const { event } = format
  if (event.event_id !== request.eventId) throw invalid('the event has another id than the path')
  if (event.room_id !== roomId) throw invalid('the event is of another room')
  if (event.type !== 'm.room.member') throw invalid('the event is not of type m.room.member')
  if (stringProperty(event.content, 'membership') !== request.membership) {
    throw invalid(`the membership is not ${request.membership}`)
  }
  if (serverNameOf(event.sender) !== request.origin) throw invalid('the sender is of another server')
  if (event.state_key !== event.sender) throw invalid('state_key is not the sender')
  return event
}

/** The user of this server who is said to vouch for a join. */
function ownAuthoriser(room: RoomContext, event: Event): UserId | undefined {
  if (!identity(room).rules.restrictedJoins) return undefined
  const named = parseUserId(stringProperty(event.content, 'join_authorised_via_users_server') ?? '')
  return named !== undefined && serverNameOf(named) === room.serverName ? named : undefined
}

function keepMembership(room: RoomContext, pdu: JsonObject, keys: ServerKeySet): StoredEvent {
  // In one transaction: nobody would send on an event that was kept without the note.
  const receipt = transact(room, () => {
    const outcome = requireSigned(receivePdu(room, pdu, keys))
    const stored = outcome.outcome === 'accepted' ? findEvent(room, outcome.eventId) : undefined
    if (stored) markRelayed(room, stored.eid)
    return outcome
  })
  return acceptedBy(room, receipt)
}

function acceptedBy(room: RoomContext, receipt: FinalReceipt): StoredEvent {
  switch (receipt.outcome) {
    case 'dropped':
      throw invalid(receipt.reason)
    case 'incomplete':
      throw invalid('the event builds upon events that are not known here')
    case 'rejected':
    case 'soft-failed':
      throw new MatrixError('M_FORBIDDEN', 403, receipt.reason)
    case 'accepted':
    case 'known':
      break
  }
  const stored = findEvent(room, receipt.eventId)
  if (stored?.status === eventStatus.accepted) return stored
  throw new MatrixError('M_FORBIDDEN', 403, 'The event was refused before')
}

function invalid(reason: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `Invalid event: ${reason}`)
}
