import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkEventFormat, checkedEvent, parseEvent } from '../../src/matrix/event-format.ts'
import { eventIdOf } from '../../src/matrix/event-hash.ts'
import { parseEventId } from '../../src/matrix/identifiers.ts'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { redact } from '../../src/matrix/redaction.ts'
import type { RoomVersionRules } from '../../src/matrix/room-version.ts'
import { allRules, anyRules, canonicalValue, rulesOf } from './arbitrary.ts'
import { asObject, specObject } from './spec-vectors.ts'

const hashRoomId = '!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM'
const hashEventId = '$31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM'

/** A well-formed message of a room version. */
function message(rules: RoomVersionRules): JsonObject {
  const reference: JsonValue = rules.eventId === 'field' ? ['$p:b', { sha256: 'x' }] : hashEventId
  return {
    type: 'm.room.message',
    room_id: rules.roomIdIsCreateHash ? hashRoomId : '!r:b',
    sender: '@a:b',
    content: { body: 'x' },
    origin_server_ts: 1,
    depth: 1,
    auth_events: [reference],
    prev_events: [reference],
    hashes: { sha256: 'x' },
    signatures: { b: { 'ed25519:1': 'x' } },
    ...(rules.eventId === 'field' ? { event_id: '$e:b' } : {}),
  }
}

/** A well-formed create event: without `room_id` where that is the rule. */
function create(rules: RoomVersionRules): JsonObject {
  const pdu: JsonObject = {
    ...message(rules),
    type: 'm.room.create',
    state_key: '',
    auth_events: [],
    prev_events: [],
  }
  if (rules.roomIdIsCreateHash) delete pdu['room_id']
  return pdu
}

/** The rule that refuses, or 'accepted'. */
function verdict(pdu: unknown, rules: RoomVersionRules): string {
  const answer = checkEventFormat(pdu, rules)
  return answer.ok ? 'accepted' : answer.rule
}

function without(pdu: JsonObject, key: string): JsonObject {
  return Object.fromEntries(Object.entries(pdu).filter(([name]) => name !== key))
}

describe.each(allRules)('the event format of version $id', (rules) => {
  const pdu = message(rules)
  const refuses = (change: JsonObject): void => {
    expect({ change, verdict: verdict({ ...pdu, ...change }, rules) }).toEqual({
      change,
      verdict: 'event-format',
    })
  }
  const accepts = (change: JsonObject): void => {
    expect({ change, verdict: verdict({ ...pdu, ...change }, rules) }).toEqual({
      change,
      verdict: 'accepted',
    })
  }

  test('is that of a message, a state event and a create event', () => {
    accepts({})
    accepts({ state_key: '' })
    accepts({ unsigned: { age: 1 }, extra: null, auth_events: [], prev_events: [], signatures: {} })
    expect(verdict(create(rules), rules)).toBe('accepted')
  })

  test('is an object', () => {
    for (const value of [undefined, null, 1, 'x', [], [pdu]])
      expect(verdict(value, rules)).toBe('event-format')
  })

  test('has all required fields', () => {
    for (const key of Object.keys(pdu))
      expect([key, verdict(without(pdu, key), rules)]).toEqual([key, 'event-format'])
  })

  test('has fields of the right types', () => {
    const wrong: JsonValue[] = [null, true, 1.5, 'x', [], [1], ['x'], [['x']], [{}]]
    const fields = [
      'sender',
      'room_id',
      'content',
      'origin_server_ts',
      'depth',
      'hashes',
      'signatures',
      'unsigned',
    ]
    for (const field of fields) for (const value of wrong) refuses({ [field]: value })
    for (const field of ['type', 'state_key', 'event_id'])
      for (const value of [null, 1, {}, []]) refuses({ [field]: value })
    for (const field of ['auth_events', 'prev_events'])
      for (const value of [
        null,
        'x',
        {},
        [1],
        [null],
        ['x'],
        [[]],
        [['$a']],
        [['$a', 'x']],
        [['$a', {}, 1]],
        [['a', {}]],
      ])
        refuses({ [field]: value })
    refuses({ hashes: { sha256: 1 } })
    refuses({ signatures: { b: 'x' } })
    refuses({ signatures: { b: { 'ed25519:1': 1 } } })
  })

  test('has its own form of references', () => {
    const pairs = [['$p:b', { sha256: 'x' }]]
    const [good, bad] = rules.eventId === 'field' ? [pairs, [hashEventId]] : [[hashEventId], pairs]
    accepts({ auth_events: good, prev_events: good })
    refuses({ auth_events: bad })
    refuses({ prev_events: bad })
  })

  test('has at most 10 auth events and 20 prev events', () => {
    const reference = Array.isArray(pdu['auth_events']) ? (pdu['auth_events'][0] ?? null) : null
    const many = (count: number): JsonValue => Array.from({ length: count }, () => reference)
    accepts({ auth_events: many(10), prev_events: many(20) })
    refuses({ auth_events: many(11) })
    refuses({ prev_events: many(21) })
  })

  test('has short ids and keys, counted in bytes', () => {
    for (const [field, pairs] of [
      ['type', 127],
      ['state_key', rules.ownedState ? 255 : 127],
    ] as const) {
      accepts({ [field]: 'é'.repeat(pairs) + 'x' })
      refuses({ [field]: 'é'.repeat(pairs + 1) })
    }
    accepts({ sender: `@${'é'.repeat(126)}:b` })
    refuses({ sender: `@${'é'.repeat(127)}:b` })
    refuses({ room_id: `!${'é'.repeat(127)}:b` })
    refuses({ event_id: `$${'é'.repeat(127)}:b` })
  })

  test('has user ids with a valid server name', () => {
    accepts({ sender: '@Old Style ü:[::1]:80' })
    for (const sender of ['a:b', '@a', '@a:', '@a:b c', '@a\0:b']) refuses({ sender })
  })

  test('has a depth from 0 to the largest integer of the version', () => {
    accepts({ depth: 0 })
    accepts({ depth: 2 ** 53 - 1 })
    refuses({ depth: -1 })
    refuses({ depth: '1' })
    refuses({ depth: 2 ** 64 })
    for (const depth of [2 ** 53, 2 ** 63]) (rules.strictCanonicalJson ? refuses : accepts)({ depth })
  })

  test('has a room id of its version, which only a version 12 create event lacks', () => {
    const [good, bad] = rules.roomIdIsCreateHash ? [hashRoomId, '!r:b'] : ['!r:b', hashRoomId]
    accepts({ room_id: good })
    refuses({ room_id: bad })
    const absent = without(create(rules), 'room_id')
    expect(verdict(absent, rules)).toBe(rules.roomIdIsCreateHash ? 'accepted' : 'event-format')
    expect(verdict({ ...absent, type: 'm.room.name' }, rules)).toBe('event-format')
  })

  test('has a text in redacts, where redactions have that field', () => {
    const change = { type: 'm.room.redaction', redacts: 1 }
    if (rules.redactsInContent) accepts(change)
    else refuses(change)
    accepts({ type: 'm.room.redaction', redacts: '$x' })
    accepts({ type: 'm.room.redaction' })
  })

  test('takes at most 65,536 bytes with its signatures', () => {
    const spare = 65_536 - Buffer.byteLength(JSON.stringify({ ...pdu, content: { body: '' } }))
    const body = (bytes: number): string => 'é'.repeat(bytes / 2) + 'x'.repeat(bytes % 2)
    accepts({ content: { body: body(spare) } })
    expect(verdict({ ...pdu, content: { body: body(spare + 1) } }, rules)).toBe('event-size')
    expect(verdict({ ...pdu, signatures: { b: { 'ed25519:1': 'x'.repeat(65_536) } } }, rules)).toBe(
      'event-size',
    )
  })

  test('has canonical JSON', () => {
    for (const value of [1.5, -0, 2 ** 53])
      expect(verdict({ ...pdu, content: { a: value } }, rules)).toBe(
        rules.strictCanonicalJson ? 'canonical-json' : 'accepted',
      )
    for (const value of ['\ud800', Infinity])
      expect(verdict({ ...pdu, extra: value }, rules)).toBe('canonical-json')
    const nested: JsonValue = JSON.parse('['.repeat(20_000) + ']'.repeat(20_000))
    expect(verdict({ ...pdu, content: { nested } }, rules)).toBe('canonical-json')
  })

  test('has nothing inherited', () => {
    expect(verdict(Object.create(pdu), rules)).toBe('event-format')
  })
})

describe('reading an event', () => {
  test.each(allRules)('makes version $id like any other', (rules) => {
    const pdu: JsonObject = { ...message(rules), state_key: 'k' }
    const reference = rules.eventId === 'field' ? '$p:b' : hashEventId
    expect(parseEvent(pdu, rules)).toEqual({
      event_id: eventIdOf(pdu, rules),
      room_id: pdu['room_id'],
      type: 'm.room.message',
      state_key: 'k',
      sender: '@a:b',
      content: { body: 'x' },
      origin_server_ts: 1,
      depth: 1,
      auth_events: [reference],
      prev_events: [reference],
      pdu,
    })
    expect(Object.hasOwn(parseEvent(message(rules), rules), 'state_key')).toBe(false)
  })

  test('names the room of a version 12 create event after it', () => {
    const event = parseEvent(create(rulesOf('12')), rulesOf('12'))
    expect(event.room_id).toBe(`!${event.event_id.slice(1)}`)
    expect(Object.hasOwn(event.pdu, 'room_id')).toBe(false)
  })

  test('finds what a redaction redacts in the field or the content', () => {
    for (const rules of allRules) {
      const pdu = {
        ...message(rules),
        type: 'm.room.redaction',
        redacts: '$top',
        content: { redacts: '$content' },
      }
      expect(parseEvent(pdu, rules).redacts).toBe(rules.redactsInContent ? '$content' : '$top')
      expect(parseEvent({ ...pdu, type: 'm.room.message' }, rules).redacts).toBeUndefined()
      expect(parseEvent({ ...pdu, redacts: 'x', content: { redacts: 5 } }, rules).redacts).toBeUndefined()
    }
  })

  test('gives a redacted event the same id', () => {
    for (const rules of allRules)
      expect(parseEvent(redact(message(rules), rules), rules).event_id).toBe(
        parseEvent(message(rules), rules).event_id,
      )
  })

  test('takes a known event id as it is', () => {
    const known = parseEventId(hashEventId)
    expect(parseEvent(message(rulesOf('4')), rulesOf('4'), known).event_id).toBe(hashEventId)
    expect(parseEvent(create(rulesOf('12')), rulesOf('12'), known).room_id).toBe(hashRoomId)
  })

  test('throws for an event that was not checked', () => {
    for (const key of [
      'sender',
      'room_id',
      'type',
      'content',
      'depth',
      'origin_server_ts',
      'auth_events',
      'prev_events',
    ])
      expect(() => parseEvent(without(message(rulesOf('11')), key), rulesOf('11'))).toThrow(TypeError)
  })

  test('never throws when checking comes first, whatever the value', () => {
    const field = fc.constantFrom(...Object.keys(message(rulesOf('1'))), 'state_key', 'redacts', 'unsigned')
    fc.assert(
      fc.property(anyRules, fc.dictionary(field, canonicalValue, { maxKeys: 3 }), (rules, changes) => {
        const checked = checkedEvent({ ...message(rules), ...changes }, rules)
        expect(checked.ok).toBe(checkEventFormat({ ...message(rules), ...changes }, rules).ok)
      }),
    )
    for (const rules of allRules) {
      expect(checkedEvent(message(rules), rules)).toMatchObject({
        ok: true,
        event: { type: 'm.room.message' },
      })
      expect(checkedEvent(null, rules)).toMatchObject({ ok: false, rule: 'event-format' })
    }
  })
})

describe('the example events of the specification', () => {
  const examples = 'api/server-server/examples/'
  const read = (name: string): JsonObject => {
    const example = specObject(`${examples}${name}`)
    const parts = Array.isArray(example['allOf']) ? example['allOf'].map(asObject) : [example]
    const reference = (part: JsonObject): JsonObject =>
      typeof part['$ref'] === 'string' ? { ...read(part['$ref']), ...without(part, '$ref') } : part
    return Object.assign({}, ...parts.map(reference))
  }

  test.each([
    ['pdu_v1.json', '1'],
    ['pdu_v1.json', '2'],
    ['pdu_v3.json', '3'],
    ['pdu_v4.json', '4'],
    ['pdu_v4.json', '10'],
    ['pdu_v11.json', '11'],
    ['pdu_v12.json', '12'],
  ])('%s is an event of version %s', (name, version) => {
    expect(checkEventFormat(read(name), rulesOf(version))).toEqual({ ok: true })
  })
})
