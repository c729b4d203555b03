// Signing events and checking who signed them. Server-server API, "Signing Events";
// rooms/fragments/v5-signing-requirements.md (key validity), rooms/v8 (restricted joins).

import { encodeBase64 } from './base64.ts'
import { CanonicalJsonError } from './canonical-json.ts'
import { contentHash } from './event-hash.ts'
import type { ServerName, Verdict } from './event.ts'
import { accept, reject } from './event.ts'
import { parseEventId, parseServerName, parseUserId, serverNameOf } from './identifiers.ts'
import type { JsonObject } from './json.ts'
import { objectProperty, property, stringProperty } from './json.ts'
import { redact } from './redaction.ts'
import type { RoomVersionRules } from './room-version.ts'
import type { SigningKey } from './signing.ts'
import { isEd25519KeyId, signedBytes, verifySignature, withSignature } from './signing.ts'

/** A public key of a server as it is known to us. */
export interface KnownKey {
  /** 32 bytes of Ed25519 public key. */
  readonly key: Uint8Array
  /**
   * Until when (ms) the key may sign: the lesser of `valid_until_ts` and 7 days after it was fetched, or the `expired_ts` of
   * an old key. Left out, the key counts as expired where validity is enforced (room version 5 and later).
   */
  readonly validUntilTs?: number
}

export type KeyLookup = (serverName: ServerName, keyId: string) => KnownKey | undefined

/**
 * An event with its content hash and our signature, ready to be sent. Signatures it already has are kept.
 * Throws CanonicalJsonError for an event without canonical JSON.
 */
export function signEvent(
  pdu: JsonObject,
  rules: RoomVersionRules,
  serverName: string,
  keyId: string,
  key: SigningKey,
): JsonObject {
  const hashes = { sha256: encodeBase64(contentHash(pdu, rules)) }
  return countersignEvent({ ...pdu, hashes }, rules, serverName, keyId, key)
}

/**
 * An event made by another server with our signature added, its hashes untouched: invites to our users, restricted joins.
 * Throws CanonicalJsonError for an event without canonical JSON.
 */
export function countersignEvent(
  pdu: JsonObject,
  rules: RoomVersionRules,
  serverName: string,
  keyId: string,
  key: SigningKey,
): JsonObject {
  // Only the redacted form is signed, so that the signature outlives a redaction.
  const message = signedBytes(redact(pdu, rules), { strict: rules.strictCanonicalJson })
  return withSignature(pdu, serverName, keyId, encodeBase64(key.sign(message)))
}

/**
 * The servers that must have signed an event. Empty for a third-party invite, which any server may send.
 * Undefined if the event does not tell: then it must be refused.
 */
export function requiredSigners(pdu: JsonObject, rules: RoomVersionRules): ServerName[] | undefined {
  const signers: (ServerName | undefined)[] = []
  if (!isThirdPartyInvite(pdu)) signers.push(serverOfUser(property(pdu, 'sender')))
  // Versions 1 and 2: also the server that gave the event its id.
  if (rules.eventId === 'field') {
    const eventId = parseEventId(stringProperty(pdu, 'event_id') ?? '', rules)
    signers.push(eventId === undefined ? undefined : serverNameOf(eventId))
  }
  // Restricted joins: the server of the user who is said to have let the joiner in.
  const authoriser = joinAuthoriser(pdu, rules)
  if (authoriser !== undefined) signers.push(serverOfUser(authoriser))
  const known = signers.filter((signer) => signer !== undefined)
  return known.length === signers.length ? [...new Set(known)] : undefined
}

/** The keys worth knowing before `verifyEventSignatures`: those named by signatures that will be looked at. */
export function keysToVerify(
  pdu: JsonObject,
  rules: RoomVersionRules,
): { serverName: ServerName; keyId: string }[] {
  const required = requiredSigners(pdu, rules)
  if (required === undefined) return []
  const signers = isThirdPartyInvite(pdu) ? signingServers(pdu) : required
  return signers.flatMap((serverName) =>
    ed25519Signatures(pdu, serverName).map(({ keyId }) => ({ serverName, keyId })),
  )
}

/**
 * Whether every required server signed an event. Signatures by unknown or expired keys are skipped; of the others each must
 * be valid, and there must be one. A third-party invite needs a valid signature of any one server. Never throws.
 */
export function verifyEventSignatures(
  pdu: JsonObject,
  rules: RoomVersionRules,
  keyLookup: KeyLookup,
): Verdict {
  const required = requiredSigners(pdu, rules)
  if (required === undefined) return reject('signature', 'the event does not tell who must have signed it')
  const message = signedBytesOf(pdu, rules)
  if (message === undefined) return reject('canonical-json', 'the event has no canonical JSON')

  const refusal = (serverName: ServerName): string | undefined =>
    signatureRefusal(pdu, rules, message, serverName, keyLookup)
  for (const serverName of required) {
    const reason = refusal(serverName)
    if (reason !== undefined) return reject('signature', reason)
  }
  if (isThirdPartyInvite(pdu) && signingServers(pdu).every((serverName) => refusal(serverName) !== undefined))
    return reject('signature', 'no server has validly signed the third-party invite')
  return accept
}

/** Whether one server signed an event, whoever else must have. Never throws. */
export function verifyServerSignature(
  pdu: JsonObject,
  rules: RoomVersionRules,
  serverName: ServerName,
  keyLookup: KeyLookup,
): Verdict {
  const message = signedBytesOf(pdu, rules)
  if (message === undefined) return reject('canonical-json', 'the event has no canonical JSON')
  const reason = signatureRefusal(pdu, rules, message, serverName, keyLookup)
  return reason === undefined ? accept : reject('signature', reason)
}

/** Why an event does not count as signed by a server, or undefined if it does. */
function signatureRefusal(
  pdu: JsonObject,
  rules: RoomVersionRules,
  message: Uint8Array,
  serverName: ServerName,
  keyLookup: KeyLookup,
): string | undefined {
  let verified = 0
  for (const { keyId, signature } of ed25519Signatures(pdu, serverName)) {
    const known = keyLookup(serverName, keyId)
    if (known === undefined || !wasValidAt(known, pdu, rules)) continue
    if (!verifySignature(message, signature, known.key))
      return `the signature of ${serverName} by ${keyId} is wrong`
    verified++
  }
  return verified > 0 ? undefined : `no signature of ${serverName} by a known and valid key`
}

/** From version 5 on a key must have been valid when the event was made. */
function wasValidAt(known: KnownKey, pdu: JsonObject, rules: RoomVersionRules): boolean {
  if (!rules.enforceKeyValidity) return true
  const timestamp = property(pdu, 'origin_server_ts')
  return typeof timestamp === 'number' && known.validUntilTs !== undefined && known.validUntilTs >= timestamp
}

function ed25519Signatures(pdu: JsonObject, serverName: string): { keyId: string; signature: string }[] {
  const ofServer = objectProperty(objectProperty(pdu, 'signatures'), serverName) ?? {}
  return Object.entries(ofServer)
    .filter(([keyId]) => isEd25519KeyId(keyId))
    .map(([keyId, signature]) => ({ keyId, signature: typeof signature === 'string' ? signature : '' }))
}

function signingServers(pdu: JsonObject): ServerName[] {
  return Object.keys(objectProperty(pdu, 'signatures') ?? {})
    .map(parseServerName)
    .filter((serverName) => serverName !== undefined)
}

function isThirdPartyInvite(pdu: JsonObject): boolean {
  const content = objectProperty(pdu, 'content')
  return (
    property(pdu, 'type') === 'm.room.member' &&
    property(content, 'membership') === 'invite' &&
    property(content, 'third_party_invite') !== undefined
  )
}

/** Rules for member events, "join_authorised_via_users_server": whatever the membership, the named user's server signs. */
function joinAuthoriser(pdu: JsonObject, rules: RoomVersionRules): unknown {
  if (!rules.restrictedJoins || property(pdu, 'type') !== 'm.room.member') return undefined
  return property(objectProperty(pdu, 'content'), 'join_authorised_via_users_server')
}

function serverOfUser(userId: unknown): ServerName | undefined {
  const parsed = typeof userId === 'string' ? parseUserId(userId) : undefined
  return parsed === undefined ? undefined : serverNameOf(parsed)
}

function signedBytesOf(pdu: JsonObject, rules: RoomVersionRules): Uint8Array | undefined {
  try {
    return signedBytes(redact(pdu, rules), { strict: rules.strictCanonicalJson })
  } catch (error) {
    if (error instanceof CanonicalJsonError) return undefined
    throw error
  }
}
