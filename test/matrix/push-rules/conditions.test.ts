import { describe, expect, test } from 'vitest'
import type { JsonObject, JsonValue } from '../../../src/matrix/json.ts'
import { badParameter, conditionHolds, type PushContext } from '../../../src/matrix/push-rules/conditions.ts'
import { readEvent } from '../../../src/matrix/push-rules/event-reader.ts'

const base: PushContext = { userId: '@alice:example.org', memberCount: 2, senderPowerLevel: 0 }

function holds(condition: JsonObject, event: JsonObject, context: Partial<PushContext> = {}): boolean {
  return conditionHolds(condition, readEvent(event), { ...base, ...context })
}

describe('event_match', () => {
  test.each<[string, string, JsonObject, boolean]>([
    ['content.topic', 'lunc?*', { content: { topic: 'Lunch plans' } }, true],
    ['content.topic', 'lunc?*', { content: { topic: 'LUNCH' } }, true],
    ['content.topic', 'LUNCH', { content: { topic: 'lunch' } }, true],
    ['content.topic', 'lunc?*', { content: { topic: ' lunch' } }, false],
    ['content.topic', 'lunc?*', { content: { topic: 'lunc' } }, false],
    ['content.topic', '*', { content: { topic: null } }, false],
    ['content.topic', '*', { content: { topic: 1 } }, false],
    ['content.topic', '*', { content: {} }, false],
    ['content.topic', '*', {}, false],
    ['content.topic', 'plans', { content: { topic: 'lunch plans' } }, false],
    ['content.body', 'plans', { content: { body: 'Lunch PLANS!' } }, true],
    ['content.body', 'plan', { content: { body: 'lunch plans' } }, false],
    [String.raw`content.m\.a\\b`, 'x', { content: { [String.raw`m.a\b`]: 'x' } }, true],
    ['state_key', '', { state_key: '' }, true],
    ['state_key', '', {}, false],
    ['constructor.name', '*', {}, false],
  ])('key %j, pattern %j, event %j: %j', (key, pattern, event, expected) => {
    expect(holds({ kind: 'event_match', key, pattern }, event)).toBe(expected)
  })
})

describe('event_property_is', () => {
  test.each<[JsonValue, JsonValue, boolean]>([
    [true, true, true],
    [true, 'true', false],
    [true, 1, false],
    [null, null, true],
    [5, 5, true],
    [5, '5', false],
    ['a', 'a', true],
    ['a', 'A', false],
    ['a*', 'ab', false],
    [1.5, 1.5, false],
    [['a'], ['a'], false],
  ])('value %j against %j: %j', (value, found, expected) => {
    const condition = { kind: 'event_property_is', key: String.raw`content.m\.federate`, value }
    expect(holds(condition, { content: { 'm.federate': found } })).toBe(expected)
  })

  test('does not take absence for null', () => {
    expect(holds({ kind: 'event_property_is', key: 'content.a', value: null }, { content: {} })).toBe(false)
    expect(holds({ kind: 'event_property_is', key: 'content.a' }, { content: {} })).toBe(false)
  })
})

describe('event_property_contains', () => {
  test.each<[JsonValue, JsonValue, boolean]>([
    ['#b:c', ['#a:c', '#b:c'], true],
    [':c', ['#a:c'], false],
    [1, ['1', { a: 1 }, [1]], false],
    [1, [{ a: 1 }, 1], true],
    [null, [null], true],
    ['a', 'a', false],
    ['a', { a: 'a' }, false],
  ])('value %j in %j: %j', (value, list, expected) => {
    expect(
      holds({ kind: 'event_property_contains', key: 'content.list', value }, { content: { list } }),
    ).toBe(expected)
  })
})

describe('MSC4210: contains_display_name, in rules of users', () => {
  test.each<[string | undefined, JsonValue, boolean]>([
    ['Alice', 'hello alice!', true],
    ['Alice', 'malice', false],
    ['A*', 'hello alice', false],
    ['A*', 'hello A*', true],
    ['', 'hello', false],
    [undefined, 'hello', false],
    ['Alice', 7, false],
  ])('%j in %j: %j', (displayName, body, expected) => {
    const context = displayName === undefined ? {} : { displayName }
    expect(holds({ kind: 'contains_display_name' }, { content: { body } }, context)).toBe(expected)
  })
})

describe('room_member_count', () => {
  test.each<[string, number, boolean]>([
    ['2', 2, true],
    ['2', 3, false],
    ['==2', 2, true],
    ['<3', 2, true],
    ['<2', 2, false],
    ['<=2', 2, true],
    ['>2', 2, false],
    ['>2', 3, true],
    ['>=2', 2, true],
    ['>=3', 2, false],
    ['!=2', 3, false],
    ['two', 2, false],
    ['', 0, false],
    ['-1', -1, false],
  ])('is %j for %j members: %j', (is, memberCount, expected) => {
    expect(holds({ kind: 'room_member_count', is }, {}, { memberCount })).toBe(expected)
  })

  test('wants a string', () => {
    expect(holds({ kind: 'room_member_count', is: 2 }, {})).toBe(false)
  })
})

describe('sender_notification_permission', () => {
  test.each<[JsonObject | undefined, number, boolean]>([
    [undefined, 50, true],
    [undefined, 49, false],
    [{}, 49, false],
    [{ room: 20 }, 20, true],
    [{ room: 20 }, 19, false],
    [{ room: '60' }, 59, false],
    [{ room: '60' }, 60, true],
    [{ room: 'low' }, 100, false],
    [{ room: null }, 49, false],
    [{ room: 100 }, Infinity, true],
    [{ other: 0 }, 0, false],
  ])('levels %j for a sender with %j: %j', (notificationLevels, senderPowerLevel, expected) => {
    const context = { senderPowerLevel, ...(notificationLevels !== undefined && { notificationLevels }) }
    expect(holds({ kind: 'sender_notification_permission', key: 'room' }, {}, context)).toBe(expected)
  })

  test('does not look at inherited levels', () => {
    const condition = { kind: 'sender_notification_permission', key: 'constructor' }
    expect(holds(condition, {}, { senderPowerLevel: 49, notificationLevels: {} })).toBe(false)
  })
})

test.each<JsonObject>([
  {},
  { kind: 7 },
  { kind: 'device' },
  { kind: 'constructor' },
  { kind: 'event_match' },
  { kind: 'event_match', key: 'type' },
  { kind: 'event_match', pattern: '*' },
  { kind: 'event_property_is', value: 'a' },
  { kind: 'event_property_contains', key: 'content.list' },
  { kind: 'sender_notification_permission' },
])('%j never holds', (condition) => {
  const event = { type: 'a', content: { list: ['a', null] } }
  expect(holds(condition, event, { senderPowerLevel: 100, displayName: 'a' })).toBe(false)
})

test.each<[JsonObject, string | undefined]>([
  [{ kind: 'event_match', key: 'type', pattern: 'a' }, undefined],
  [{ kind: 'contains_display_name' }, undefined],
  [{ kind: 'org.example.unknown', anything: [] }, undefined],
  [{}, 'kind'],
  [{ kind: 'event_match', pattern: 'a' }, 'key'],
  [{ kind: 'event_match', key: 'type' }, 'pattern'],
  [{ kind: 'event_match', key: 'type', pattern: 'a'.repeat(513) }, 'pattern'],
  [{ kind: 'event_property_is', key: 'type', value: {} }, 'value'],
  [{ kind: 'event_property_contains', key: 'type', value: 0.5 }, 'value'],
  [{ kind: 'room_member_count', is: '~2' }, 'is'],
  [{ kind: 'room_member_count', is: 2 }, 'is'],
  [{ kind: 'sender_notification_permission' }, 'key'],
])('the bad parameter of %j is %j', (condition, expected) => {
  expect(badParameter(condition)).toBe(expected)
})
