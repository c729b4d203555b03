// Reading power levels: who has how much, and what an action needs.
// Specification: client-server API, m.room.power_levels; room versions, "Deprecated event content schemas" and
// "Authorisation rules"; server-server API, "Definitions" of the receipt checks.

import type { Event, StateLookup, UserId } from './event.ts'
import { parseUserId } from './identifiers.ts'
import { isJsonObject, objectProperty, property, stringProperty } from './json.ts'
import type { JsonObject, JsonValue } from './json.ts'
import type { RoomVersionRules } from './room-version.ts'

/** The top-level levels of a power levels event, each with its value where the property is missing. */
const defaultLevels = {
  users_default: 0,
  events_default: 0,
  state_default: 50,
  ban: 50,
  redact: 50,
  kick: 50,
  invite: 0,
} as const

export type PowerLevelName = keyof typeof defaultLevels

export const powerLevelNames: readonly PowerLevelName[] = [
  'users_default',
  'events_default',
  'state_default',
  'ban',
  'redact',
  'kick',
  'invite',
]

const creatorDefaultLevel = 100
const notificationDefaultLevel = 50
// Old events may write a level as text: digits with leading zeroes, one sign, whitespace around them.
const integerText = /^\s*[+-]?[0-9]+\s*$/

/** One level as this room version understands it, or undefined where the value is not a level. */
export function readPowerLevel(rules: RoomVersionRules, value: JsonValue | undefined): number | undefined {
  if (typeof value === 'number') return readNumber(rules, value)
  if (typeof value !== 'string' || rules.powerLevelValues === 'ints' || !integerText.test(value))
    return undefined
  return finite(Number(value))
}

function readNumber(rules: RoomVersionRules, value: number): number | undefined {
  // Floats lose what stands after the decimal point; only versions without strict canonical JSON have any.
  if (rules.powerLevelValues === 'intsStringsFloats') return finite(Math.trunc(value))
  return Number.isSafeInteger(value) ? value : undefined
}

function finite(level: number): number | undefined {
  // What does not fit a double is no level. `+ 0` turns the -0 of "-0" and -0.5 into 0.
  return Number.isFinite(level) ? level + 0 : undefined
}

/** Whether each top-level level that is present can be read. */
export function hasValidLevels(rules: RoomVersionRules, content: JsonObject): boolean {
  return powerLevelNames.every((name) => isAbsentOrLevel(rules, property(content, name)))
}

/** Whether `events`, and `notifications` where they are checked, are absent or map to levels only. */
export function hasValidLevelMaps(rules: RoomVersionRules, content: JsonObject): boolean {
  const names = rules.notificationsLevelsChecked ? ['events', 'notifications'] : ['events']
  return names.every((name) => isAbsentOrLevelMap(rules, property(content, name)))
}

/** Whether `users` is absent or maps valid user ids to levels. */
export function hasValidUsers(rules: RoomVersionRules, content: JsonObject): boolean {
  const users = property(content, 'users')
  return (
    isAbsentOrLevelMap(rules, users) &&
    (!isJsonObject(users) || Object.keys(users).every((id) => parseUserId(id) !== undefined))
  )
}

/**
 * Whether the content of a power levels event is well formed in this room version: every level is readable and
 * the keys of `users` are user ids. It does not look at who may send it, nor at the creators of version 12.
 */
export function isValidPowerLevelsContent(rules: RoomVersionRules, content: JsonObject): boolean {
  return hasValidLevels(rules, content) && hasValidLevelMaps(rules, content) && hasValidUsers(rules, content)
}

function isAbsentOrLevel(rules: RoomVersionRules, value: JsonValue | undefined): boolean {
  return value === undefined || readPowerLevel(rules, value) !== undefined
}

function isAbsentOrLevelMap(rules: RoomVersionRules, value: JsonValue | undefined): boolean {
  if (value === undefined) return true
  return (
    isJsonObject(value) && Object.values(value).every((level) => readPowerLevel(rules, level) !== undefined)
  )
}

/**
 * The creators of a room, the one who made it first: `content.creator` up to version 10, the sender in version 11,
 * the sender and `additional_creators` from version 12. Empty when an old create event names no creator.
 */
export function roomCreators(rules: RoomVersionRules, createEvent: Event): UserId[] {
  if (!rules.creatorIsSender) {
    const creator = stringProperty(createEvent.content, 'creator')
    return creator === undefined ? [] : [creator as UserId]
  }
  if (!rules.privilegedCreators) return [createEvent.sender]
  const additional = property(createEvent.content, 'additional_creators')
  const named = Array.isArray(additional) ? additional.filter((id) => typeof id === 'string') : []
  return [createEvent.sender, ...named.map((id) => id as UserId)]
}

/** The content of the power levels event in a room state, or undefined where there is none. */
export function powerLevelsContent(state: StateLookup): JsonObject | undefined {
  return state('m.room.power_levels', '')?.content
}

/** A user's power level in a room state. Creators have `Infinity` in the versions that privilege them. */
export function userPowerLevel(rules: RoomVersionRules, userId: string, state: StateLookup): number {
  const create = state('m.room.create', '')
  const creators: readonly string[] = create === undefined ? [] : roomCreators(rules, create)
  const isCreator = creators.includes(userId)
  if (rules.privilegedCreators && isCreator) return Infinity
  const content = powerLevelsContent(state)
  // Without a power levels event, the creator has 100 and everyone else 0.
  if (content === undefined) return isCreator ? creatorDefaultLevel : defaultLevels.users_default
  const own = readPowerLevel(rules, property(objectProperty(content, 'users'), userId))
  return own ?? requiredLevel(rules, content, 'users_default')
}

/** A top-level level such as `ban`, from the content of the power levels event or its default without one. */
export function requiredLevel(
  rules: RoomVersionRules,
  powerLevels: JsonObject | undefined,
  name: PowerLevelName,
): number {
  return readPowerLevel(rules, property(powerLevels, name)) ?? defaultLevels[name]
}

/** The level needed to send an event of a type: from `events`, else the default for state or other events. */
export function requiredLevelForEvent(
  rules: RoomVersionRules,
  powerLevels: JsonObject | undefined,
  type: string,
  isState: boolean,
): number {
  const listed = readPowerLevel(rules, property(objectProperty(powerLevels, 'events'), type))
  return listed ?? requiredLevel(rules, powerLevels, isState ? 'state_default' : 'events_default')
}

/** The level needed to trigger a kind of notification, such as `room` for "@room"; 50 if it is not given. */
export function notificationLevel(
  rules: RoomVersionRules,
  powerLevels: JsonObject | undefined,
  key: string,
): number {
  const listed = readPowerLevel(rules, property(objectProperty(powerLevels, 'notifications'), key))
  return listed ?? notificationDefaultLevel
}
