import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import {
  isValidPowerLevelsContent,
  notificationLevel,
  readPowerLevel,
  requiredLevel,
  requiredLevelForEvent,
  roomCreators,
  userPowerLevel,
} from '../../src/matrix/power-levels.ts'
import { roomVersionIds } from '../../src/matrix/room-version.ts'
import type { RoomVersionId } from '../../src/matrix/room-version.ts'
import { createEvent, event, rulesOf, state } from '../fixtures/events.ts'

const alice = '@alice:a.example'
const bob = '@bob:a.example'
const withText = roomVersionIds.slice(0, 9)
const withFloats = roomVersionIds.slice(0, 5)

// Forms of a level that the specification gives as examples, and borders of its wording.
const odd: [JsonValue, number, readonly RoomVersionId[]][] = [
  ['100', 100, withText],
  ['000100', 100, withText],
  ['+100', 100, withText],
  ['-100', -100, withText],
  [' 100 ', 100, withText],
  [' 00100 ', 100, withText],
  [' +100 ', 100, withText],
  [' -100 ', -100, withText],
  ['\t100\n', 100, withText],
  ['-0', 0, withText],
  [5.114698e4, 51146, withFloats],
  [50.57, 50, withFloats],
  [-50.57, -50, withFloats],
  [-0.5, 0, withFloats],
  [1e300, 1e300, withFloats],
  [100, 100, roomVersionIds],
  [-100, -100, roomVersionIds],
  [0, 0, roomVersionIds],
  [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, roomVersionIds],
  [Number.MIN_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, roomVersionIds],
]
const unreadable: JsonValue[] = [
  [
    null,
    true,
    false,
    [],
    [1],
    {},
    '',
    ' ',
    '+',
    '-',
    '+-1',
    '- 1',
    '1 0',
    '1.0',
    '1e2',
    '0x1f',
    '1_000',
    '١٢',
  ],
  ['Infinity', '-Infinity', 'NaN', '1'.repeat(400), Infinity, -Infinity, NaN],
].flat()

describe('a power level', () => {
  it.each(odd)('%j is %d where this form is known', (value, level, versions) => {
    for (const version of roomVersionIds) {
      const expected = versions.includes(version) ? level : undefined
      expect(readPowerLevel(rulesOf(version), value), `room version ${version}`).toBe(expected)
    }
  })

  it.each(unreadable.map((value) => [value]))('%j is none in any room version', (value) => {
    for (const version of roomVersionIds) expect(readPowerLevel(rulesOf(version), value)).toBeUndefined()
  })

  it('is the same as a number and as text', () => {
    const form = fc.record({
      level: fc.maxSafeInteger(),
      zeroes: fc.nat(5),
      before: fc.nat(3),
      after: fc.nat(3),
    })
    fc.assert(
      fc.property(form, fc.constantFrom(...withText), ({ level, zeroes, before, after }, version) => {
        const sign = level < 0 ? '-' : ''
        const text = `${' '.repeat(before)}${sign}${'0'.repeat(zeroes)}${Math.abs(level)}${' '.repeat(after)}`
        expect(readPowerLevel(rulesOf(version), text)).toBe(level + 0)
      }),
    )
  })

  it('that is read is always a finite whole number', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(...roomVersionIds), (value, version) => {
        const level = readPowerLevel(rulesOf(version), value as JsonValue)
        expect(level === undefined || Number.isInteger(level)).toBe(true)
      }),
    )
  })
})

describe('the content of a power levels event', () => {
  it.each<[string, JsonObject, readonly RoomVersionId[]]>([
    ['nothing', {}, roomVersionIds],
    [
      'integers',
      { ban: 1, users: { [bob]: 1 }, events: { x: 1 }, notifications: { room: 1 } },
      roomVersionIds,
    ],
    ['texts', { ban: '1', users: { [bob]: '1' }, events: { x: '1' } }, withText],
    ['floats', { ban: 1.5, users: { [bob]: 1.5 }, events: { x: 1.5 } }, withFloats],
    ['a notification level that is none', { notifications: { room: null } }, withFloats],
    ['users that are not an object', { users: [] }, []],
    ['events that are not an object', { events: 1 }, []],
    ['a key of users that is no user ID', { users: { bob: 1 } }, []],
    ['a level that is none', { kick: null }, []],
    ['unknown properties', { 'org.example': 'x' }, roomVersionIds],
  ])('with %s', (_, content, versions) => {
    const valid = roomVersionIds.filter((version) => isValidPowerLevelsContent(rulesOf(version), content))
    expect(valid).toEqual(versions)
  })
})

describe('levels that are not given', () => {
  it.each([undefined, {}])('have defaults in %j', (content) => {
    for (const version of roomVersionIds) {
      const rules = rulesOf(version)
      const level = (name: Parameters<typeof requiredLevel>[2]) => requiredLevel(rules, content, name)
      expect([level('ban'), level('kick'), level('redact'), level('state_default')]).toEqual([50, 50, 50, 50])
      expect([level('invite'), level('events_default'), level('users_default')]).toEqual([0, 0, 0])
      expect(requiredLevelForEvent(rules, content, 'm.room.topic', true)).toBe(50)
      expect(requiredLevelForEvent(rules, content, 'm.room.message', false)).toBe(0)
      expect(notificationLevel(rules, content, 'room')).toBe(50)
    }
  })

  it('are never taken from what objects inherit', () => {
    for (const version of roomVersionIds) {
      const content = { events: {}, notifications: {}, users: {} }
      for (const key of ['constructor', '__proto__', 'toString']) {
        expect(requiredLevelForEvent(rulesOf(version), content, key, true)).toBe(50)
        expect(notificationLevel(rulesOf(version), content, key)).toBe(50)
      }
    }
  })
})

describe('levels that are given', () => {
  const content = {
    ban: 1,
    state_default: 2,
    events_default: 3,
    events: { 'm.room.topic': 4 },
    notifications: { room: 5 },
  }

  it('are what they say', () => {
    for (const version of roomVersionIds) {
      const rules = rulesOf(version)
      expect(requiredLevel(rules, content, 'ban')).toBe(1)
      expect(requiredLevelForEvent(rules, content, 'm.room.name', true)).toBe(2)
      expect(requiredLevelForEvent(rules, content, 'm.room.name', false)).toBe(3)
      expect(requiredLevelForEvent(rules, content, 'm.room.topic', true)).toBe(4)
      expect(requiredLevelForEvent(rules, content, 'm.room.topic', false)).toBe(4)
      expect(notificationLevel(rules, content, 'room')).toBe(5)
      expect(notificationLevel(rules, content, 'other')).toBe(50)
    }
  })
})

describe('room creators', () => {
  it.each<[string, readonly RoomVersionId[], JsonObject, string[]]>([
    ['are who the content names up to version 10', roomVersionIds.slice(0, 10), { creator: bob }, [bob]],
    ['are nobody if an old create event names nobody', roomVersionIds.slice(0, 10), { creator: null }, []],
    ['are the sender in version 11', ['11'], { creator: bob, additional_creators: [bob] }, [alice]],
    ['are the sender and others in version 12', ['12'], { additional_creators: [bob] }, [alice, bob]],
    ['are the sender alone in version 12', ['12'], { creator: bob }, [alice]],
  ])('%s', (_, versions, content, expected) => {
    for (const version of versions)
      expect(roomCreators(rulesOf(version), createEvent(version, { sender: alice, content }))).toEqual(
        expected,
      )
  })
})

describe('the power level of a user', () => {
  const levelOf = (version: RoomVersionId, userId: string, content?: JsonObject) => {
    const create = createEvent(version, { content: { additional_creators: [bob] } })
    const powerLevels = event({ type: 'm.room.power_levels', state_key: '', content: content ?? {} })
    return userPowerLevel(
      rulesOf(version),
      userId,
      state(content === undefined ? [create] : [create, powerLevels]),
    )
  }

  it('without power levels is 100 for the creator and 0 for others, up to version 11', () => {
    for (const version of roomVersionIds.slice(0, 11)) {
      expect(levelOf(version, alice)).toBe(100)
      expect(levelOf(version, bob)).toBe(0)
    }
  })

  it('comes from users, else from users_default, also for the creator, up to version 11', () => {
    for (const version of roomVersionIds.slice(0, 11)) {
      expect(levelOf(version, alice, {})).toBe(0)
      expect(levelOf(version, alice, { users_default: 7 })).toBe(7)
      expect(levelOf(version, bob, { users_default: 7, users: { [bob]: 9 } })).toBe(9)
      expect(levelOf(version, bob, { users_default: 7, users: { [bob]: -9 } })).toBe(-9)
    }
  })

  it('is infinite for creators in version 12, whatever power levels say', () => {
    for (const content of [undefined, {}, { users: { [alice]: 0, [bob]: 0 }, users_default: 0 }]) {
      expect(levelOf('12', alice, content)).toBe(Infinity)
      expect(levelOf('12', bob, content)).toBe(Infinity)
    }
    expect(levelOf('12', '@carol:c.example', { users_default: 3 })).toBe(3)
    expect(levelOf('12', '@carol:c.example')).toBe(0)
  })

  it('is 0 for everyone without a create event', () => {
    for (const version of roomVersionIds) expect(userPowerLevel(rulesOf(version), alice, state([]))).toBe(0)
  })

  it('is never taken from what objects inherit', () => {
    for (const version of roomVersionIds) expect(levelOf(version, 'constructor', { users: {} })).toBe(0)
  })
})
