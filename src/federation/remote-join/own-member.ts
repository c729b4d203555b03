// Member events of our users in rooms of other servers: made of the template that a server in the room gives, of which only
// the place in the room's graph is taken. What we sign is what our user asked for and nothing else.
// Specification: server-server API, "Joining Rooms", "Knocking upon a room", "Leaving Rooms".

import { randomBytes } from 'node:crypto'
import { MatrixError } from '../../errors.ts'
import type { OwnSigner } from '../../keys/own-signer.ts'
import { encodeUrlSafeBase64 } from '../../matrix/base64.ts'
import { CanonicalJsonError } from '../../matrix/canonical-json.ts'
import { checkedEvent } from '../../matrix/event-format.ts'
import { signEvent } from '../../matrix/event-signature.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../matrix/event.ts'
import { parseUserId, serverNameOf } from '../../matrix/identifiers.ts'
import { type JsonObject, objectProperty, property } from '../../matrix/json.ts'
import { roomVersion, type RoomVersionRules } from '../../matrix/room-version.ts'

export interface OwnMember {
  readonly roomId: RoomId
  readonly userId: UserId
  readonly membership: 'join' | 'knock' | 'leave'
  /** The content besides `membership`: profile, reason. */
  readonly content: JsonObject
}

/** What is believed of a template. */
export interface Template {
  readonly rules: RoomVersionRules
  readonly depth: JsonObject['depth']
  readonly authEvents: JsonObject['auth_events']
  readonly prevEvents: JsonObject['prev_events']
  /** Who of the room vouches for a restricted join. */
  readonly authoriser?: UserId
}

export interface SignedMember {
  readonly pdu: JsonObject
  readonly eventId: EventId
  readonly rules: RoomVersionRules
  readonly authoriser?: UserId
}

/**
 * Reads a template. 502 M_UNKNOWN for one that is malformed or of another event than ours, M_UNSUPPORTED_ROOM_VERSION (400).
 */
export function readTemplate(
  server: ServerName,
  body: JsonObject,
  member: OwnMember,
  own: ServerName,
): Template {
  // Servers that leave it out know versions 1 and 2 alone, which have the same event format.
  const version = property(body, 'room_version') ?? '1'
  if (typeof version !== 'string') throw malformed(server, 'room_version is not a string')
  const rules = roomVersion(version)
  if (!rules) {
    const message = `The room has version ${version.slice(0, 32)}, which this server does not support`
    throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', 400, message)
  }
  const event = objectProperty(body, 'event')
  const expected = {
    type: 'm.room.member',
    room_id: member.roomId,
    sender: member.userId,
    state_key: member.userId,
  }
  for (const [field, value] of Object.entries(expected)) {
    if (property(event, field) !== value) throw malformed(server, `${field} is not ${value}`)
  }
  const content = objectProperty(event, 'content')
  if (property(content, 'membership') !== member.membership) {
    throw malformed(server, `the membership is not ${member.membership}`)
  }
  return {
    rules,
    depth: property(event, 'depth') ?? null,
    authEvents: property(event, 'auth_events') ?? null,
    prevEvents: property(event, 'prev_events') ?? null,
    ...authoriserOf(server, content, member, rules, own),
  }
}

function authoriserOf(
  server: ServerName,
  content: JsonObject | undefined,
  { membership }: OwnMember,
  rules: RoomVersionRules,
  own: ServerName,
): { authoriser?: UserId } {
  const named = property(content, 'join_authorised_via_users_server')
  if (named === undefined || membership !== 'join' || !rules.restrictedJoins) return {}
  const authoriser = parseUserId(typeof named === 'string' ? named : '')
  if (authoriser === undefined) throw malformed(server, 'join_authorised_via_users_server is not a user id')
  // Our signature on the join would say that our user vouches for it, who was never asked.
  if (serverNameOf(authoriser) === own)
    throw malformed(server, 'it lets a user of this server vouch for the join')
  return { authoriser }
}

/** Makes the event and signs it. `now` in milliseconds. 502 M_UNKNOWN where the template makes no event of its version. */
export function signMember(
  server: ServerName,
  template: Template,
  member: OwnMember,
  signer: OwnSigner,
  now: number,
): SignedMember {
  const { rules, authoriser } = template
  const { join_authorised_via_users_server: _, ...content } = member.content
  const fields: JsonObject = {
    type: 'm.room.member',
    room_id: member.roomId,
    sender: member.userId,
    state_key: member.userId,
    content: {
      ...content,
      ...(authoriser === undefined ? {} : { join_authorised_via_users_server: authoriser }),
      membership: member.membership,
    },
    origin_server_ts: now,
    depth: template.depth ?? null,
    auth_events: template.authEvents ?? null,
    prev_events: template.prevEvents ?? null,
  }
  // Versions 1 and 2: the id is ours to give.
  if (rules.eventId === 'field') {
    fields.event_id = `$${encodeUrlSafeBase64(randomBytes(18))}:${signer.serverName}`
  }
  const pdu = signed(server, fields, rules, signer)
  const checked = checkedEvent(pdu, rules)
  if (!checked.ok) throw malformed(server, checked.reason)
  // An event without parents would be the first of the room.
  if (checked.event.prev_events.length === 0) throw malformed(server, 'prev_events is empty')
  return { pdu, eventId: checked.event.event_id, rules, ...(authoriser === undefined ? {} : { authoriser }) }
}

function signed(
  server: ServerName,
  fields: JsonObject,
  rules: RoomVersionRules,
  { serverName, keyId, key }: OwnSigner,
): JsonObject {
  try {
    return signEvent(fields, rules, serverName, keyId, key)
  } catch (error) {
    if (error instanceof CanonicalJsonError) throw malformed(server, error.message)
    throw error
  }
}

/**
 * Our join with the signature of whoever let the user in, which the other server gives back in its `event`: nothing else of
 * that is taken. 502 M_UNKNOWN where it is needed and not there, or on another event.
 */
export function countersigned(server: ServerName, signedMember: SignedMember, event: unknown): JsonObject {
  const { pdu, authoriser } = signedMember
  return authoriser === undefined
    ? pdu
    : withSignaturesOf(server, serverNameOf(authoriser), signedMember, event)
}

/**
 * An event of ours with the signatures of another server, taken over from the copy that `server` gave back. 502 M_UNKNOWN where
 * that is another event, or was not signed.
 */
export function withSignaturesOf(
  server: ServerName,
  signer: ServerName,
  { pdu, eventId, rules }: Pick<SignedMember, 'pdu' | 'eventId' | 'rules'>,
  copy: unknown,
): JsonObject {
  const checked = checkedEvent(copy, rules)
  if (!checked.ok) throw malformed(server, `the event that it signed is none: ${checked.reason}`)
  if (checked.event.event_id !== eventId) throw malformed(server, 'it signed another event than ours')
  const signatures = objectProperty(objectProperty(checked.event.pdu, 'signatures'), signer)
  if (!signatures) throw malformed(server, `the event lacks the signature of ${signer}`)
  return { ...pdu, signatures: { ...objectProperty(pdu, 'signatures'), [signer]: signatures } }
}

/** 502 M_UNKNOWN: what another server said makes no sense. */
export function malformed(server: ServerName, reason: string): MatrixError {
  return new MatrixError('M_UNKNOWN', 502, `The answer of ${server} makes no sense: ${reason}`)
}
