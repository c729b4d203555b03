// Invites of e-mail addresses and the like that become invites of users: the token in the room, what is left to do about it, and
// the invite itself where this server makes it. The rules of the room judge the proof.
// Specification: server-server API, "Third-party invites".

import { MatrixError } from '../errors.ts'
import type { EventId, UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import { type JsonObject, objectProperty, property, stringProperty } from '../matrix/json.ts'
import { transact } from './append.ts'
import type { RoomContext, Signer } from './context.ts'
import { livePosition } from './events.ts'
import { registerLocalUser } from './fan-out.ts'
import { requireAllowed } from './federation-access.ts'
import { markRelayed } from './relayed.ts'
import { sendEvent } from './send-event.ts'
import { currentEvent } from './state-at.ts'

/** The `third_party_invite` of a content, if there is one. */
export function thirdPartyInviteOf(content: JsonObject): JsonObject | undefined {
  return objectProperty(content, 'third_party_invite')
}

interface Exchange {
  /** The `third_party_invite` of the member event. */
  readonly invite: JsonObject
  /** What else the member event says: `is_direct` where whoever made the room wanted it so. */
  readonly more: JsonObject
}

/**
 * What the invite of a third party comes to for a user: the `third_party_invite` to invite them with, named as the room has it; or
 * the member event that leaves nothing to do. M_FORBIDDEN for tokens that are not of this room, and where the user has left since.
 */
export function exchangeable(
  room: RoomContext,
  target: UserId,
  invite: JsonObject,
): { readonly present: EventId } | Exchange {
  const signed = objectProperty(invite, 'signed') ?? {}
  const token = stringProperty(signed, 'token')
  const made = token === undefined ? undefined : currentEvent(room, 'm.room.third_party_invite', token)
  if (!made) throw new MatrixError('M_FORBIDDEN', 403, 'The room knows no such invite')
  const member = currentEvent(room, 'm.room.member', target)
  const membership = stringProperty(member?.content, 'membership')
  // The rules would let it end the membership of somebody who is in the room.
  if (member && (membership === 'join' || membership === 'invite')) return { present: member.event_id }
  // Everyone in the room knows the proof: it brings nobody back who has turned the invite down.
  if (member && membership === 'leave' && member.depth > made.depth) {
    throw new MatrixError('M_FORBIDDEN', 403, 'The invite was used before')
  }
  const name = stringProperty(made.content, 'display_name') ?? stringProperty(invite, 'display_name') ?? ''
  const isDirect = property(made.content, 'is_direct') === true
  return { invite: { display_name: name, signed }, more: isDirect ? { is_direct: true } : {} }
}

export interface ThirdPartyExchange {
  /** Who invited the third party, of whatever server. */
  readonly sender: UserId
  /** A user of this server. */
  readonly target: UserId
  readonly targetShard?: number
  /** The content besides `membership`: profile and `third_party_invite`. */
  readonly content: JsonObject
}

/** Invites a user of this server, in the name of whoever invited the third party. M_FORBIDDEN where the rules refuse it. */
export function exchangeThirdPartyInvite(
  room: RoomContext,
  signer: Signer,
  { sender, target, targetShard, content }: ThirdPartyExchange,
): EventId {
  const server = serverNameOf(sender)
  requireAllowed(room, server)
  const standing = exchangeable(room, target, thirdPartyInviteOf(content) ?? {})
  if ('present' in standing) return standing.present
  const draft = {
    type: 'm.room.member',
    sender,
    state_key: target,
    content: { ...content, ...standing.more, membership: 'invite', third_party_invite: standing.invite },
  }
  return transact(room, () => {
    if (targetShard !== undefined) registerLocalUser(room, target, targetShard)
    const eventId = sendEvent(room, signer, { draft })
    // Their server does not know of it: this one has made it.
    if (server !== room.serverName) markRelayed(room, livePosition(room))
    return eventId
  })
}
