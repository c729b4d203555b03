// The conditions of push rules. Specification: client-server API, push rules, "Conditions".

import { boundedMemo } from '../bounded-memo.ts'
import { compileGlob, foldCase, literalGlob, matchesGlob, matchesGlobWords } from '../glob.ts'
import { type JsonObject, type JsonValue, property, stringProperty } from '../json.ts'
import type { EventReader } from './event-reader.ts'

/** What a rule may look at besides the event, for one user and one room. */
export interface PushContext {
  readonly userId: string
  /** The user's display name in the room. */
  readonly displayName?: string
  /** How many members are joined. */
  readonly memberCount: number
  /** Infinity for the creators of a version 12 room. */
  readonly senderPowerLevel: number
  /** `notifications` of the room's power levels. */
  readonly notificationLevels?: JsonObject
}

interface ConditionKind {
  readonly holds: (condition: JsonObject, event: EventReader, context: PushContext) => boolean
  /** The parameters it needs, each with a check. */
  readonly parameters: Readonly<Record<string, (value: JsonValue | undefined) => boolean>>
}

/** Longer patterns are refused: each is matched against each event. */
const longestPattern = 512

const kinds = new Map<string, ConditionKind>([
  ['event_match', { holds: eventMatch, parameters: { key: isString, pattern: isPattern } }],
  ['event_property_is', { holds: eventPropertyIs, parameters: { key: isString, value: isScalar } }],
  [
    'event_property_contains',
    { holds: eventPropertyContains, parameters: { key: isString, value: isScalar } },
  ],
  ['contains_display_name', { holds: containsDisplayName, parameters: {} }],
  [
    'room_member_count',
    {
      holds: roomMemberCount,
      parameters: { is: (value) => isString(value) && parseCount(value) !== undefined },
    },
  ],
  ['sender_notification_permission', { holds: senderNotificationPermission, parameters: { key: isString } }],
])

/** Whether a condition holds. One that is not known or malformed never does. */
export function conditionHolds(condition: JsonObject, event: EventReader, context: PushContext): boolean {
  const kind = kinds.get(stringProperty(condition, 'kind') ?? '')
  return kind !== undefined && kind.holds(condition, event, context)
}

/**
 * The name of the first parameter that is missing or unusable, undefined if there is none. A condition of a kind
 * that is not known is accepted: it may mean something to clients.
 */
export function badParameter(condition: JsonObject): string | undefined {
  const name = stringProperty(condition, 'kind')
  if (name === undefined) return 'kind'
  const checks = Object.entries(kinds.get(name)?.parameters ?? {})
  return checks.find(([key, isUsable]) => !isUsable(property(condition, key)))?.[0]
}

/** Whether a value can be the pattern of a content rule or of `event_match`. */
export function isPattern(value: JsonValue | undefined): value is string {
  return isString(value) && value.length <= longestPattern
}

const globOf = boundedMemo(2048, (pattern) => compileGlob(foldCase(pattern)))

/** Whether the string at `key` matches a glob as a whole; in `content.body` some words of it suffice. */
export function matchesPattern(event: EventReader, key: string, pattern: string): boolean {
  // What is absent or no string matches nothing, not even "*".
  const value = event.folded(key)
  if (value === undefined) return false
  const glob = globOf(pattern)
  return key === 'content.body' ? matchesGlobWords(glob, value) : matchesGlob(glob, value)
}

function eventMatch(condition: JsonObject, event: EventReader): boolean {
  const key = stringProperty(condition, 'key')
  const pattern = stringProperty(condition, 'pattern')
  return key !== undefined && pattern !== undefined && matchesPattern(event, key, pattern)
}

// Scalars are compared exactly, without casting; objects, arrays and fractions equal nothing.
function eventPropertyIs(condition: JsonObject, event: EventReader): boolean {
  const key = stringProperty(condition, 'key')
  const wanted = property(condition, 'value')
  return key !== undefined && isScalar(wanted) && event.value(key) === wanted
}

function eventPropertyContains(condition: JsonObject, event: EventReader): boolean {
  const key = stringProperty(condition, 'key')
  const wanted = property(condition, 'value')
  if (key === undefined || !isScalar(wanted)) return false
  const values = event.value(key)
  return Array.isArray(values) && values.includes(wanted)
}

// The display name is taken literally, and found between word boundaries as other words in the body are.
function containsDisplayName(_: JsonObject, event: EventReader, { displayName }: PushContext): boolean {
  const body = event.folded('content.body')
  if (body === undefined || displayName === undefined || displayName === '') return false
  return matchesGlobWords(literalGlob(foldCase(displayName)), body)
}

function roomMemberCount(condition: JsonObject, _: EventReader, { memberCount }: PushContext): boolean {
  const comparison = parseCount(stringProperty(condition, 'is') ?? '')
  if (comparison === undefined) return false
  const { operator, count } = comparison
  switch (operator) {
    case '<':
      return memberCount < count
    case '>':
      return memberCount > count
    case '<=':
      return memberCount <= count
    case '>=':
      return memberCount >= count
    default:
      return memberCount === count
  }
}

/** Reads `is`: a decimal integer after an optional operator, `==` by default. */
function parseCount(is: string): { operator: string; count: number } | undefined {
  const match = /^(==|<=|>=|<|>)?(\d+)$/.exec(is)
  return match === null ? undefined : { operator: match[1] ?? '==', count: Number(match[2]) }
}

// The sender needs the level that `notifications` asks for, 50 where it says nothing.
function senderNotificationPermission(condition: JsonObject, _: EventReader, context: PushContext): boolean {
  const key = stringProperty(condition, 'key')
  if (key === undefined) return false
  const level = powerLevel(property(context.notificationLevels, key) ?? 50)
  return level !== undefined && context.senderPowerLevel >= level
}

/** A power level; before room version 10 a string of digits was one too. */
function powerLevel(value: JsonValue): number | undefined {
  if (typeof value === 'number') return value
  return isString(value) && /^\s*[+-]?\d+\s*$/.test(value) ? Number(value) : undefined
}

function isString(value: JsonValue | undefined): value is string {
  return typeof value === 'string'
}

/** Whether a value is one canonical JSON knows besides arrays and objects. */
function isScalar(value: JsonValue | undefined): value is null | boolean | number | string {
  return value === null || typeof value === 'boolean' || isString(value) || Number.isSafeInteger(value)
}
