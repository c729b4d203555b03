// Generators of JSON values and room version rules for property tests.

import * as fc from 'fast-check'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import type { RoomVersionRules } from '../../src/matrix/room-version.ts'
import { roomVersion, roomVersionIds, unstableRoomVersionIds } from '../../src/matrix/room-version.ts'

/** The rules of a room version that exists. */
export function rulesOf(id: string): RoomVersionRules {
  const rules = roomVersion(id)
  if (rules === undefined) throw new Error(`no room version ${id}`)
  return rules
}

export const allRules: readonly RoomVersionRules[] = [...roomVersionIds, ...unstableRoomVersionIds].map(
  rulesOf,
)

export const anyRules: fc.Arbitrary<RoomVersionRules> = fc.constantFrom(...allRules)

const key = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.constantFrom('__proto__', 'constructor', '10', '9', '\u{1f600}', '\uffee', 'toString'),
)

/** Any value strict canonical JSON can represent, hostile keys included. */
export const canonicalValue: fc.Arbitrary<JsonValue> = fc.letrec<{ value: JsonValue; object: JsonObject }>(
  (tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, true, false),
      fc.maxSafeInteger().map((integer) => (Object.is(integer, -0) ? 0 : integer)),
      fc.string({ unit: 'binary', maxLength: 12 }),
      fc.array(tie('value'), { maxLength: 4 }),
      tie('object'),
    ),
    object: fc
      .array(fc.tuple(key, tie('value')), { maxLength: 5 })
      .map((entries) => Object.fromEntries(entries)),
  }),
).value

/** An object whose keys and values strict canonical JSON can represent. */
export const canonicalObject: fc.Arbitrary<JsonObject> = fc
  .array(fc.tuple(key, canonicalValue), { maxLength: 6 })
  .map((entries) => Object.fromEntries(entries))

const keptKeys = [
  'type',
  'content',
  'origin',
  'membership',
  'hashes',
  'unsigned',
  'depth',
  'extra',
  'redacts',
]
const contentKeys = [
  'membership',
  'creator',
  'join_rule',
  'allow',
  'ban',
  'invite',
  'aliases',
  'redacts',
  'third_party_invite',
  'join_authorised_via_users_server',
  'history_visibility',
]
const eventType = fc.constantFrom(
  'm.room.member',
  'm.room.create',
  'm.room.join_rules',
  'm.room.power_levels',
  'm.room.aliases',
  'm.room.history_visibility',
  'm.room.redaction',
  'm.room.message',
)

/** An event-like object: a type that redaction knows, with any content and further fields. */
export const eventLike: fc.Arbitrary<JsonObject> = fc
  .tuple(
    eventType,
    fc.dictionary(fc.oneof(key, fc.constantFrom(...contentKeys)), canonicalValue, { maxKeys: 6 }),
    fc.dictionary(fc.oneof(key, fc.constantFrom(...keptKeys)), canonicalValue, { maxKeys: 6 }),
  )
  .map(([type, content, further]) => ({ ...further, type, content }))
