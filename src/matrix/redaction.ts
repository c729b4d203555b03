// The redaction algorithm: what of an event survives, in every room version. Client-server API, "Redactions";
// rooms/fragments/v1-redactions.md, v6-redactions.md, rooms/v8, v9-redactions.md, v11-redactions.md.

import type { JsonObject } from './json.ts'
import { objectProperty, property, stringProperty } from './json.ts'
import type { RoomVersionRules } from './room-version.ts'

const keptFromV11 = [
  'event_id',
  'type',
  'room_id',
  'sender',
  'state_key',
  'content',
  'hashes',
  'signatures',
  'depth',
  'prev_events',
  'auth_events',
  'origin_server_ts',
]
const keptBeforeV11 = [...keptFromV11, 'prev_state', 'origin', 'membership']

const keptPowerLevels = [
  'ban',
  'events',
  'events_default',
  'kick',
  'redact',
  'state_default',
  'users',
  'users_default',
]

/**
 * The redacted form of an event of a room with these rules, as a new object: also what is signed and what event ids are the
 * hash of. `unsigned` is never part of it. Redacting twice changes nothing.
 */
export function redact(pdu: JsonObject, rules: RoomVersionRules): JsonObject {
  const redacted = pick(pdu, rules.redactionV11 ? keptFromV11 : keptBeforeV11)
  if (Object.hasOwn(pdu, 'content')) redacted['content'] = redactContent(pdu, rules)
  return redacted
}

function redactContent(pdu: JsonObject, rules: RoomVersionRules): JsonObject {
  const content = objectProperty(pdu, 'content') ?? {}
  switch (stringProperty(pdu, 'type') ?? '') {
    case 'm.room.member':
      return redactMember(content, rules)
    case 'm.room.create':
      // From version 11 on a create event keeps all of its content.
      return rules.redactionV11 ? content : pick(content, ['creator'])
    case 'm.room.join_rules':
      return pick(content, rules.redactionKeepsAllow ? ['join_rule', 'allow'] : ['join_rule'])
    case 'm.room.power_levels':
      return pick(content, rules.redactionV11 ? [...keptPowerLevels, 'invite'] : keptPowerLevels)
    case 'm.room.aliases':
      return rules.aliasesSpecialCase ? pick(content, ['aliases']) : {}
    case 'm.room.history_visibility':
      return pick(content, ['history_visibility'])
    case 'm.room.redaction':
      return rules.redactionV11 ? pick(content, ['redacts']) : {}
    default:
      return {}
  }
}

function redactMember(content: JsonObject, rules: RoomVersionRules): JsonObject {
  const kept = pick(content, ['membership'])
  if (rules.redactionKeepsJoinAuthorised) {
    Object.assign(kept, pick(content, ['join_authorised_via_users_server']))
  }
  // From version 11 on `signed` survives inside of `third_party_invite`, which stays as its container even when empty.
  const invite = objectProperty(content, 'third_party_invite')
  if (rules.redactionV11 && invite !== undefined) kept['third_party_invite'] = pick(invite, ['signed'])
  return kept
}

/** A new object with only these keys, where they are present. */
function pick(object: JsonObject, keys: readonly string[]): JsonObject {
  const picked: JsonObject = {}
  for (const key of keys) {
    const value = property(object, key)
    if (value !== undefined) picked[key] = value
  }
  return picked
}
