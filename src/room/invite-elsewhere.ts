// Invites of users of other servers: made here, signed by both servers, and only then part of the room. Between the two the
// other server is asked, and the room goes on.
// Specification: server-server API, "Inviting to a room".

import { MatrixError } from '../errors.ts'
import { verifyServerSignature } from '../matrix/event-signature.ts'
import type { EventId, UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import { type JsonObject, stringProperty } from '../matrix/json.ts'
import type { RoomVersionId } from '../matrix/room-version.ts'
import { canonicalEqual } from './canonical-equal.ts'
import { identity, type RoomContext, type Signer } from './context.ts'
import { eventByEid, eventStatus, findEvent } from './events.ts'
import { keyOf, receivePdu, requireSigned, type ServerKeySet } from './receive-pdu.ts'
import { requireJoined } from './room-power.ts'
import { draftedEvent } from './send-event.ts'
import { wirePdu } from './server-visibility.ts'
import { currentEvent, currentState, eidInState, findSlot } from './state-at.ts'
import { strippedTypes } from './stripped-state.ts'
import { exchangeable, thirdPartyInviteOf } from './third-party-invite.ts'

export interface BuildInviteRequest {
  readonly sender: UserId
  /** A user of another server. */
  readonly target: UserId
  /** The content besides `membership`. */
  readonly content: JsonObject
  /** Milliseconds; now where absent. */
  readonly origin_server_ts?: number
}

/** What the other server is asked to sign; or the invite that is there already. */
export type BuiltInvite =
  | {
      readonly eventId: EventId
      readonly version: RoomVersionId
      readonly event: JsonObject
      readonly state: JsonObject[]
    }
  | { readonly present: EventId }

/** Makes an invite without keeping it. M_FORBIDDEN where the rules refuse it. */
export function buildInvite(
  room: RoomContext,
  signer: Signer,
  { sender, target, content, origin_server_ts: time }: BuildInviteRequest,
): BuiltInvite {
  const { rules } = identity(room)
  // Who vouches for a join is nothing that an invite says.
  const { join_authorised_via_users_server: _, ...others } = content
  const thirdParty = thirdPartyInviteOf(others)
  if (thirdParty) {
    const standing = exchangeable(room, target, thirdParty)
    if ('present' in standing) return standing
    Object.assign(others, standing.more, { third_party_invite: standing.invite })
  } else {
    // Whoever invited a third party may have left since.
    requireJoined(room, sender)
  }
  const draft = {
    type: 'm.room.member',
    sender,
    state_key: target,
    content: { ...others, membership: 'invite' },
    ...(time === undefined ? {} : { origin_server_ts: time }),
  }
  const present = currentEvent(room, 'm.room.member', target)
  if (present?.sender === sender && canonicalEqual(present.content, draft.content)) {
    return { present: present.event_id }
  }
  const { event } = draftedEvent(room, signer, draft)
  return { eventId: event.event_id, version: rules.id, event: event.pdu, state: roomState(room, sender) }
}

// Since v1.16: whole events, the create event among them.
function roomState(room: RoomContext, sender: UserId): JsonObject[] {
  const state = currentState(room)
  const slots = [
    ...strippedTypes.map((type) => findSlot(room, type, '')),
    findSlot(room, 'm.room.member', sender),
  ]
  return slots.flatMap((slot) => {
    const eid = slot === undefined ? 0 : eidInState(room, state, slot)
    return eid === 0 ? [] : [wirePdu(eventByEid(room, eid))]
  })
}

/**
 * Takes an invite in that the other server has signed. It is judged again: the room has gone on. M_FORBIDDEN where it is
 * refused now, M_UNKNOWN (502) for a signature that does not hold.
 */
export function acceptInvite(
  room: RoomContext,
  signer: Signer,
  pdu: JsonObject,
  keys: ServerKeySet,
): EventId {
  const { rules } = identity(room)
  const target = stringProperty(pdu, 'state_key') ?? ''
  // Built here, so that its state key is a user id.
  const signedBy = verifyServerSignature(pdu, rules, serverNameOf(target as UserId), (server, keyId) =>
    keyOf(keys, server, keyId),
  )
  if (!signedBy.ok) throw new MatrixError('M_UNKNOWN', 502, `The invite was not signed: ${signedBy.reason}`)
  const ownKey = { [signer.keyId]: { key: signer.key.publicKey, validUntilTs: Number.MAX_SAFE_INTEGER } }
  const receipt = requireSigned(receivePdu(room, pdu, { ...keys, [room.serverName]: ownKey }))
  switch (receipt.outcome) {
    case 'accepted':
      break
    case 'known':
      if (findEvent(room, receipt.eventId)?.status === eventStatus.accepted) break
      throw new MatrixError('M_FORBIDDEN', 403, 'The invite was refused')
    case 'rejected':
    case 'soft-failed':
      throw new MatrixError('M_FORBIDDEN', 403, receipt.reason)
    case 'dropped':
      throw new MatrixError('M_UNKNOWN', 502, `The invite does not hold: ${receipt.reason}`)
    case 'incomplete':
      throw new Error('the invite builds upon events that are not here')
  }
  return receipt.eventId
}
