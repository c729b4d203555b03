import { describe, expect, test } from 'vitest'
import {
  isCompliantUserId,
  isOpaqueId,
  localpartOf,
  newUserId,
  parseEventId,
  parseMxcUri,
  parseRoomAlias,
  parseRoomId,
  parseServerName,
  parseUserId,
  serverNameOf,
} from '../../src/matrix/identifiers.ts'
import { allRules, rulesOf } from './arbitrary.ts'
import { asObject, asText, specObject } from './spec-vectors.ts'

function must<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error('expected a value')
  return value
}

describe('a server name', () => {
  test.each([
    'matrix.org',
    'matrix.org:8888',
    '1.2.3.4',
    '1.2.3.4:1234',
    '[1234:5678::abcd]',
    '[1234:5678::abcd]:5678',
    '[::]',
    '[::1]',
    '[1:2:3:4:5:6:7:8]',
    '[::ffff:1.2.3.4]',
    '[1:2:3:4:5:6:1.2.3.4]',
    'hs1',
    'MATRIX.org',
    'xn--bcher-kva.example',
    '1.2.3',
    '1.2.3.4.5',
    'a'.repeat(255),
  ])('may be %s', (text) => expect(parseServerName(text)).toBe(text))

  test.each([
    '',
    ':80',
    'a:',
    'a:123456',
    'a:8x',
    'a b',
    'a_b',
    'a/b',
    'bücher.example',
    'a\n',
    '256.1.1.1',
    '1.1.1.1000',
    '[1.2.3.4]',
    '[:]',
    '[:::]',
    '[1:2]',
    '[1::2::3]',
    '[1:2:3:4:5:6:7:8:9]',
    '[1:2:3:4:5:6:7::8]',
    '[12345::]',
    '[g::]',
    '[::1.2.3.4:5]',
    '[1.2.3.4::]',
    '[::1',
    '::1',
    'user@a',
    'a'.repeat(256),
  ])('may not be %j', (text) => expect(parseServerName(text)).toBeUndefined())
})

describe('a user id', () => {
  test.each(['@a:b', '@:b', '@A b\u0007:b', '@ü:[::1]:80', '@a/+=_.-0:b', `@${'a'.repeat(251)}:bc`])(
    'may be %j when it comes from another server',
    (text) => expect(parseUserId(text)).toBe(text),
  )

  test.each([
    '',
    '@',
    '@a',
    'a:b',
    '!a:b',
    '@a:',
    '@a:b:c',
    '@a\0:b',
    '@\ud800:b',
    '@a:b/c',
    `@${'a'.repeat(252)}:bc`,
  ])('may not be %j', (text) => expect(parseUserId(text)).toBeUndefined())

  test('is limited in bytes, not characters', () => {
    expect(parseUserId(`@${'é'.repeat(126)}:b`)).toBeDefined()
    expect(parseUserId(`@${'é'.repeat(127)}:b`)).toBeUndefined()
  })

  test('of a new user keeps to the strict grammar', () => {
    const server = must(parseServerName('b'))
    expect(newUserId('a-z.0_9=/+', server)).toBe('@a-z.0_9=/+:b')
    for (const localpart of ['', 'A', 'a b', 'ü', 'a:b', 'a@b', 'a\n', 'a'.repeat(253)])
      expect(newUserId(localpart, server)).toBeUndefined()
  })

  test('is compliant with a localpart of visible ASCII only', () => {
    expect(isCompliantUserId(must(parseUserId('@A~!:b')))).toBe(true)
    for (const text of ['@:b', '@a b:b', '@ü:b', '@\u007f:b'])
      expect(isCompliantUserId(must(parseUserId(text)))).toBe(false)
  })

  test('has a localpart and a server', () => {
    const userId = must(parseUserId('@a:[::1]:80'))
    expect(localpartOf(userId)).toBe('a')
    expect(serverNameOf(userId)).toBe('[::1]:80')
  })
})

describe('room ids and aliases', () => {
  const vector = asObject(specObject('vectors/events.json')['room_id_v12'])
  const createEventId = asText(vector['create_event_id'])
  const hashRoomId = asText(vector['room_id'])

  test('a room id has a domain up to version 11 and is a hash from version 12 on', () => {
    for (const rules of allRules) {
      expect(parseRoomId('!a:b', rules) !== undefined).toBe(!rules.roomIdIsCreateHash)
      expect(parseRoomId(hashRoomId, rules) !== undefined).toBe(rules.roomIdIsCreateHash)
    }
    expect(parseRoomId('!a:b')).toBe('!a:b')
    expect(parseRoomId(hashRoomId)).toBe(hashRoomId)
  })

  test.each([
    '',
    '!',
    '!a',
    '#a:b',
    '!a\0:b',
    `!${'a'.repeat(254)}:b`,
    `!${'a'.repeat(42)}`,
    `!${'+'.repeat(43)}`,
  ])('a room id may not be %j', (text) => expect(parseRoomId(text)).toBeUndefined())

  test('only a room id with a domain has a server', () => {
    expect(serverNameOf(must(parseRoomId('!a:b:80')))).toBe('b:80')
    expect(serverNameOf(must(parseRoomId(hashRoomId)))).toBeUndefined()
    expect(serverNameOf(must(parseEventId(createEventId)))).toBeUndefined()
  })

  test('an alias has any localpart and a server', () => {
    expect(parseRoomAlias('#日本 #:b')).toBe('#日本 #:b')
    expect(serverNameOf(must(parseRoomAlias('#a:b:80')))).toBe('b:80')
    for (const text of ['#a', 'a:b', '#a:b c', '#a\0:b', `#${'a'.repeat(253)}:b`])
      expect(parseRoomAlias(text)).toBeUndefined()
  })
})

describe('an event id', () => {
  const shapes = asObject(specObject('vectors/events.json')['event_id_shapes'])
  const shapeOf = {
    field: asText(shapes['1-2']),
    hash: asText(shapes['3']),
    urlSafeHash: asText(shapes['4-12']),
  }

  test.each(allRules)('has the form of room version $id', (rules) => {
    for (const [form, shape] of Object.entries(shapeOf))
      expect(parseEventId(shape, rules)).toBe(form === rules.eventId ? shape : undefined)
  })

  test('of an unknown room version may be anything short', () => {
    for (const shape of Object.values(shapeOf)) expect(parseEventId(shape)).toBe(shape)
    for (const text of ['', '$', 'a', '!a:b', '$a\0', '$\ud800', `$${'a'.repeat(255)}`])
      expect(parseEventId(text)).toBeUndefined()
  })

  test('of the wrong length is no hash', () => {
    expect(parseEventId(`$${'a'.repeat(42)}`, rulesOf('4'))).toBeUndefined()
    expect(parseEventId(`$${'a'.repeat(44)}`, rulesOf('4'))).toBeUndefined()
    expect(parseEventId(`$${'a'.repeat(43)}\n`, rulesOf('4'))).toBeUndefined()
  })
})

describe('other identifiers', () => {
  test('an mxc URI is a server name and a media id', () => {
    expect(parseMxcUri('mxc://a.b:80/x_Y-9')).toEqual({ serverName: 'a.b:80', mediaId: 'x_Y-9' })
  })

  test.each([
    'mxc://a',
    'mxc://a/',
    'mxc:///x',
    'mxc://a/x/y',
    'mxc://a/..',
    'mxc://a/x?y',
    'mxc://a/%2e',
    'mxc://127.0.0.1/../../../some_service/etc/passwd',
    'MXC://a/x',
    'https://a/x',
    'mxc://u@a/x',
  ])('an mxc URI may not be %s', (text) => expect(parseMxcUri(text)).toBeUndefined())

  test('an opaque id has 1 to 255 unreserved characters', () => {
    expect(isOpaqueId('aZ09-._~')).toBe(true)
    expect(isOpaqueId('a'.repeat(255))).toBe(true)
    for (const text of ['', 'a'.repeat(256), 'a b', 'a/b', 'é', 'a\n']) expect(isOpaqueId(text)).toBe(false)
  })
})
