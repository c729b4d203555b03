// Hashes of events and the ids made of them. Server-server API, "Signing Events"; rooms/v3 and v4 "Event IDs",
// rooms/v12 (room ids). node:crypto because it hashes synchronously, also on Workers.

import { createHash } from 'node:crypto'
import { decodeBase64, encodeBase64, encodeUrlSafeBase64 } from './base64.ts'
import { canonicalJson } from './canonical-json.ts'
import type { EventId, RoomId } from './event.ts'
import { parseEventId, parseRoomId } from './identifiers.ts'
import type { JsonObject } from './json.ts'
import { objectProperty, stringProperty } from './json.ts'
import { redact } from './redaction.ts'
import type { RoomVersionRules } from './room-version.ts'

/**
 * The content hash, 32 bytes: SHA-256 of the whole event without `unsigned`, `signatures` and `hashes`.
 * Throws CanonicalJsonError for an event without canonical JSON.
 */
export function contentHash(pdu: JsonObject, rules: RoomVersionRules): Uint8Array {
  return sha256(pdu, rules, ['unsigned', 'signatures', 'hashes'])
}

/** Whether `hashes.sha256` is the content hash, compared as bytes. If not, only the redacted event may be used. */
export function hasValidContentHash(pdu: JsonObject, rules: RoomVersionRules): boolean {
  const claimed = decodeBase64(stringProperty(objectProperty(pdu, 'hashes'), 'sha256') ?? '')
  return claimed !== undefined && encodeBase64(claimed) === encodeBase64(contentHash(pdu, rules))
}

/**
 * The reference hash, 32 bytes: SHA-256 of the redacted event without `unsigned` and `signatures`.
 * Throws CanonicalJsonError for an event without canonical JSON.
 */
export function referenceHash(pdu: JsonObject, rules: RoomVersionRules): Uint8Array {
  return sha256(redact(pdu, rules), rules, ['unsigned', 'signatures'])
}

/**
 * The id of an event: its `event_id` in versions 1 and 2, which must have been checked, later the reference hash.
 * Throws CanonicalJsonError for an event without canonical JSON.
 */
export function eventIdOf(pdu: JsonObject, rules: RoomVersionRules): EventId {
  const eventId = parseEventId(eventIdText(pdu, rules), rules)
  if (eventId === undefined) throw new TypeError('event_id is missing or malformed')
  return eventId
}

/** The room id in version 12 and later: the id of the create event with the other sigil. */
export function roomIdOfCreateEvent(eventId: EventId): RoomId {
  const roomId = parseRoomId(`!${eventId.slice(1)}`)
  if (roomId === undefined) throw new TypeError('not the id of a create event that names a room')
  return roomId
}

/** The id of the create event a version 12 room id stands for; undefined for a room id with a domain. */
export function createEventIdOf(roomId: RoomId): EventId | undefined {
  return roomId.includes(':') ? undefined : parseEventId(`$${roomId.slice(1)}`)
}

function eventIdText(pdu: JsonObject, rules: RoomVersionRules): string {
  if (rules.eventId === 'field') return stringProperty(pdu, 'event_id') ?? ''
  const encode = rules.eventId === 'hash' ? encodeBase64 : encodeUrlSafeBase64
  return `$${encode(referenceHash(pdu, rules))}`
}

function sha256(object: JsonObject, rules: RoomVersionRules, omit: readonly string[]): Uint8Array {
  const text = canonicalJson(object, { strict: rules.strictCanonicalJson, omit })
  return createHash('sha256').update(text, 'utf8').digest()
}
