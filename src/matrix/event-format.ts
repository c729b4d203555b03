// The event format of each room version: the check that comes first when an event is received, and the reading of a checked
// event. Rooms/v1, v3, v4, v6, v11, v12 "Event format"; client-server API, "Size limits".

import { CanonicalJsonError, canonicalJson } from './canonical-json.ts'
import { eventIdOf, roomIdOfCreateEvent } from './event-hash.ts'
import type { Event, EventId, RoomId, UserId, Verdict } from './event.ts'
import { accept, reject } from './event.ts'
import { parseEventId, parseRoomId, parseUserId } from './identifiers.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { isJsonObject, objectProperty, property, stringProperty } from './json.ts'
import type { RoomVersionRules } from './room-version.ts'
import { fitsInBytes } from './utf8.ts'

/** What `checkedEvent` answers. */
export type CheckedEvent =
  | { readonly ok: true; readonly event: Event }
  | { readonly ok: false; readonly rule: string; readonly reason: string }

const maxEventBytes = 65_536
const maxFieldBytes = 255
// A user id, a separator and a key of the usual length (MSC3757). Which part may be how long is for the auth rules to say.
const maxOwnedKeyBytes = 511
const maxAuthEvents = 10
const maxPrevEvents = 20

/**
 * Where an event comes from decides how much of it is forgiven. `strict`: whatever is made or signed here. `received`: up to
 * version 10, `type` and `state_key` may take more bytes than characters allowed, as rooms hold events that were always
 * measured in characters by the servers that sent them. `history`: what /backfill gives may name any number of events.
 */
export type FormatLeniency = 'strict' | 'received' | 'history'

/**
 * Whether a value is an event of a room with these rules, as it travels between servers. Never throws.
 * It sees values, not text: `1.0` or `-0` in a text must be caught by `parseJson` (json-text.ts).
 */
export function checkEventFormat(
  value: unknown,
  rules: RoomVersionRules,
  leniency: FormatLeniency = 'strict',
): Verdict {
  if (!isJsonObject(value)) return reject('event-format', 'the event is not an object')
  const fault = faultyField(value, rules, leniency)
  return fault === undefined ? checkSize(value, rules) : reject('event-format', fault)
}

/**
 * Reads an event that passed `checkEventFormat`, now or before it was stored. The event id is computed unless the caller
 * knows it. Throws TypeError for an event that cannot have passed, CanonicalJsonError likewise.
 */
export function parseEvent(pdu: JsonObject, rules: RoomVersionRules, knownEventId?: EventId): Event {
  const eventId = knownEventId ?? eventIdOf(pdu, rules)
  const stateKey = stringProperty(pdu, 'state_key')
  const redacts = redactedEventId(pdu, rules)
  return {
    event_id: eventId,
    room_id: roomIdOf(pdu, rules, eventId),
    type: present(stringProperty(pdu, 'type'), 'type'),
    ...(stateKey === undefined ? {} : { state_key: stateKey }),
    sender: present(senderOf(pdu), 'sender'),
    content: present(objectProperty(pdu, 'content'), 'content'),
    origin_server_ts: present(numberProperty(pdu, 'origin_server_ts'), 'origin_server_ts'),
    depth: present(numberProperty(pdu, 'depth'), 'depth'),
    auth_events: present(references(pdu, 'auth_events', rules), 'auth_events'),
    prev_events: present(references(pdu, 'prev_events', rules), 'prev_events'),
    ...(redacts === undefined ? {} : { redacts }),
    pdu,
  }
}

/** Checks the format and, if it holds, reads the event. Never throws. */
export function checkedEvent(
  value: unknown,
  rules: RoomVersionRules,
  leniency: FormatLeniency = 'strict',
): CheckedEvent {
  const verdict = checkEventFormat(value, rules, leniency)
  if (!verdict.ok) return verdict
  if (!isJsonObject(value)) return { ok: false, rule: 'event-format', reason: 'the event is not an object' }
  return { ok: true, event: parseEvent(value, rules) }
}

/** The event as it goes to other servers takes at most 65,536 bytes of canonical JSON, signatures and all. */
function checkSize(pdu: JsonObject, rules: RoomVersionRules): Verdict {
  try {
    const text = canonicalJson(pdu, { strict: rules.strictCanonicalJson })
    return fitsInBytes(text, maxEventBytes)
      ? accept
      : reject('event-size', `the event takes more than ${maxEventBytes} bytes`)
  } catch (error) {
    if (error instanceof CanonicalJsonError) return reject('canonical-json', error.message)
    throw error
  }
}

/** What is wrong with the first field that is wrong. */
function faultyField(pdu: JsonObject, rules: RoomVersionRules, leniency: FormatLeniency): string | undefined {
  const isShort = leniency === 'strict' || rules.sizesInBytes ? isShortString : isStringOfFewCharacters
  const limit = (most: number) => (leniency === 'history' ? Infinity : most)
  if (!isShort(property(pdu, 'type'))) return 'type must be a string of at most 255 bytes'
  const longestKey = rules.ownedState ? maxOwnedKeyBytes : maxFieldBytes
  if (!isAbsentOr((value) => isShort(value, longestKey), property(pdu, 'state_key')))
    return `state_key must be a string of at most ${longestKey} bytes`
  if (senderOf(pdu) === undefined) return 'sender must be a user id'
  if (!hasValidRoomId(pdu, rules)) return 'room_id must be a room id of this room version'
  if (!hasValidEventId(pdu, rules)) return 'event_id must be an event id of this room version'
  if (!isJsonObject(property(pdu, 'content'))) return 'content must be an object'
  if (!Number.isInteger(property(pdu, 'origin_server_ts'))) return 'origin_server_ts must be an integer'
  if (!isDepth(property(pdu, 'depth'), rules)) return 'depth must be an integer from 0 to the largest allowed'
  if (!isReferenceList(pdu, 'auth_events', rules, limit(maxAuthEvents)))
    return `auth_events must be a list of at most ${maxAuthEvents} events`
  if (!isReferenceList(pdu, 'prev_events', rules, limit(maxPrevEvents)))
    return `prev_events must be a list of at most ${maxPrevEvents} events`
  if (stringProperty(objectProperty(pdu, 'hashes'), 'sha256') === undefined)
    return 'hashes must be an object with a string sha256'
  if (!isSignatures(property(pdu, 'signatures'))) return 'signatures must be an object of objects of strings'
  if (!isAbsentOr(isJsonObject, property(pdu, 'unsigned'))) return 'unsigned must be an object'
  if (!hasValidRedacts(pdu, rules)) return 'redacts must be a string'
  return undefined
}

/** From version 12 on create events have no `room_id`: one that does is judged by the authorisation rules. */
function hasValidRoomId(pdu: JsonObject, rules: RoomVersionRules): boolean {
  const roomId = property(pdu, 'room_id')
  if (roomId === undefined) return rules.roomIdIsCreateHash && property(pdu, 'type') === 'm.room.create'
  return typeof roomId === 'string' && parseRoomId(roomId, rules) !== undefined
}

/** Versions 1 and 2 carry the event id. Later ones compute it: a field of that name is data like any other, but short. */
function hasValidEventId(pdu: JsonObject, rules: RoomVersionRules): boolean {
  const eventId = property(pdu, 'event_id')
  if (rules.eventId !== 'field') return isAbsentOr((value) => isShortString(value), eventId)
  return typeof eventId === 'string' && parseEventId(eventId, rules) !== undefined
}

/** Up to 2^53-1 with strict canonical JSON. Before, up to 2^63-1, which as a JavaScript number is 2^63. */
function isDepth(value: JsonValue | undefined, rules: RoomVersionRules): boolean {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) return false
  return value <= (rules.strictCanonicalJson ? Number.MAX_SAFE_INTEGER : 2 ** 63)
}

function isReferenceList(pdu: JsonObject, field: string, rules: RoomVersionRules, limit: number): boolean {
  const listed = references(pdu, field, rules)
  return listed !== undefined && listed.length <= limit
}

function isSignatures(value: JsonValue | undefined): boolean {
  const isString = (signature: JsonValue): boolean => typeof signature === 'string'
  return (
    isJsonObject(value) &&
    Object.values(value).every(
      (ofServer) => isJsonObject(ofServer) && Object.values(ofServer).every(isString),
    )
  )
}

/** Up to version 10 `redacts` is a field of the event, and missing from a redaction that was itself redacted. */
function hasValidRedacts(pdu: JsonObject, rules: RoomVersionRules): boolean {
  if (rules.redactsInContent || property(pdu, 'type') !== 'm.room.redaction') return true
  return isAbsentOr((value) => typeof value === 'string', property(pdu, 'redacts'))
}

/** The events a field refers to: `[event id, hashes]` pairs in versions 1 and 2, later event ids. Undefined if malformed. */
function references(pdu: JsonObject, field: string, rules: RoomVersionRules): EventId[] | undefined {
  const listed = property(pdu, field)
  if (!Array.isArray(listed)) return undefined
  const eventIds = listed
    .map((reference) => (rules.eventId === 'field' ? eventIdOfPair(reference) : reference))
    .map((eventId) => (typeof eventId === 'string' ? parseEventId(eventId) : undefined))
    .filter((eventId) => eventId !== undefined)
  return eventIds.length === listed.length ? eventIds : undefined
}

function eventIdOfPair(pair: JsonValue): JsonValue | undefined {
  return Array.isArray(pair) && pair.length === 2 && isJsonObject(pair[1]) ? pair[0] : undefined
}

/** Only redactions redact. An id that is none is left out: such a redaction applies to nothing. */
function redactedEventId(pdu: JsonObject, rules: RoomVersionRules): EventId | undefined {
  if (property(pdu, 'type') !== 'm.room.redaction') return undefined
  const redacts = stringProperty(rules.redactsInContent ? objectProperty(pdu, 'content') : pdu, 'redacts')
  return redacts === undefined ? undefined : parseEventId(redacts)
}

function roomIdOf(pdu: JsonObject, rules: RoomVersionRules, eventId: EventId): RoomId {
  const roomId = stringProperty(pdu, 'room_id')
  if (roomId !== undefined) return present(parseRoomId(roomId, rules), 'room_id')
  if (!hasValidRoomId(pdu, rules)) throw new TypeError('room_id is missing or malformed')
  return roomIdOfCreateEvent(eventId)
}

function senderOf(pdu: JsonObject): UserId | undefined {
  const sender = stringProperty(pdu, 'sender')
  return sender === undefined ? undefined : parseUserId(sender)
}

function numberProperty(pdu: JsonObject, key: string): number | undefined {
  const value = property(pdu, key)
  return typeof value === 'number' ? value : undefined
}

function isShortString(value: JsonValue | undefined, most = maxFieldBytes): boolean {
  return typeof value === 'string' && fitsInBytes(value, most)
}

function isStringOfFewCharacters(value: JsonValue | undefined, most = maxFieldBytes): boolean {
  if (typeof value !== 'string') return false
  const pairs = value.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0
  return value.length - pairs <= most
}

function isAbsentOr(check: (value: JsonValue) => boolean, value: JsonValue | undefined): boolean {
  return value === undefined || check(value)
}

function present<Value>(value: Value | undefined, field: string): Value {
  if (value === undefined) throw new TypeError(`${field} is missing or malformed`)
  return value
}
