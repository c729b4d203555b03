import { describe, expect, test } from 'vitest'
import {
  allowsRoom,
  type FilterableEvent,
  matchesEvent,
  projectFields,
} from '../../src/matrix/filter-match.ts'
import type { RoomEventFilter } from '../../src/matrix/filter.ts'

const message: FilterableEvent = {
  type: 'm.room.message',
  sender: '@alice:example.org',
  room_id: '!room:example.org',
  content: { body: 'hi' },
}

describe('a filter lets a message through that relates to another', () => {
  const reply = { ...message, content: { 'm.relates_to': { rel_type: 'm.thread', event_id: '$a' } } }
  test.each<[string, FilterableEvent, RoomEventFilter, boolean]>([
    ['in a wanted way', reply, { 'org.matrix.msc3874.rel_types': ['m.thread'] }, true],
    ['not in another way', reply, { 'org.matrix.msc3874.rel_types': ['m.reference'] }, false],
    ['not in an unwanted way', reply, { 'org.matrix.msc3874.not_rel_types': ['m.thread'] }, false],
    ['in a way that is not unwanted', reply, { 'org.matrix.msc3874.not_rel_types': ['m.reference'] }, true],
    ['not one that relates to nothing', message, { 'org.matrix.msc3874.rel_types': ['m.thread'] }, false],
    ['or to nothing', message, { 'org.matrix.msc3874.not_rel_types': ['m.thread'] }, true],
  ])('%s', (_, event, filter, expected) => {
    expect(matchesEvent(filter, event)).toBe(expected)
  })
})

describe('a filter lets a message through', () => {
  test.each<[string, RoomEventFilter | undefined, boolean]>([
    ['without a filter', undefined, true],
    ['with an empty filter', {}, true],
    ['by its type', { types: ['m.room.message'] }, true],
    ['not by another type', { types: ['m.room.member'] }, false],
    ['not by an empty list of types', { types: [] }, false],
    ['by a wildcard type', { types: ['m.room.*'] }, true],
    ['by a wildcard in the middle', { types: ['m.*.message'] }, true],
    ['not by a question mark', { types: ['m.room.messag?'] }, false],
    ['not by a type in other case', { types: ['M.ROOM.MESSAGE'] }, false],
    ['not when its type is excluded as well', { types: ['*'], not_types: ['m.room.*'] }, false],
    ['when another type is excluded', { not_types: ['m.room.member'] }, true],
    ['by its sender', { senders: ['@alice:example.org'] }, true],
    ['not by a glob for its sender', { senders: ['@alice:*'] }, false],
    ['not by another sender', { senders: ['@bob:example.org'] }, false],
    [
      'not when its sender is excluded as well',
      { senders: ['@alice:example.org'], not_senders: ['@alice:example.org'] },
      false,
    ],
    ['by its room', { rooms: ['!room:example.org'] }, true],
    ['not by another room', { rooms: ['!other:example.org'] }, false],
    ['not when its room is excluded', { not_rooms: ['!room:example.org'] }, false],
    ['not when a url is asked for', { contains_url: true }, false],
    ['when no url is asked for', { contains_url: false }, true],
    ['whatever the limit', { limit: 0 }, true],
  ])('%s', (_, filter, expected) => {
    expect(matchesEvent(filter, message)).toBe(expected)
  })
})

test('contains_url looks for the key in the content', () => {
  const image = { ...message, content: { url: 'mxc://example.org/a' } }
  expect(matchesEvent({ contains_url: true }, image)).toBe(true)
  expect(matchesEvent({ contains_url: false }, image)).toBe(false)
})

test('an event without a sender is in no list of senders', () => {
  const receipts = { type: 'm.receipt', content: {} }
  expect(matchesEvent({ not_senders: ['@alice:example.org'] }, receipts)).toBe(true)
  expect(matchesEvent({ senders: ['@alice:example.org'] }, receipts)).toBe(false)
})

test.each([
  [undefined, true],
  [{}, true],
  [{ rooms: [] }, false],
  [{ rooms: ['!a:b'] }, true],
  [{ rooms: ['!c:d'] }, false],
  [{ not_rooms: ['!a:b'] }, false],
  [{ rooms: ['!a:b'], not_rooms: ['!a:b'] }, false],
])('the filter %j for the room !a:b answers %j', (filter, expected) => {
  expect(allowsRoom(filter, '!a:b')).toBe(expected)
})

describe('event fields', () => {
  const event = {
    type: 'm.room.message',
    sender: '@alice:example.org',
    content: { body: 'hi', 'm.relates_to': { rel_type: 'm.thread', event_id: '$a' }, list: [{ a: 1 }] },
  }

  test.each<[readonly string[], object]>([
    [[], {}],
    [['type'], { type: 'm.room.message' }],
    [['content.body', 'sender'], { sender: '@alice:example.org', content: { body: 'hi' } }],
    [[String.raw`content.m\.relates_to.event_id`], { content: { 'm.relates_to': { event_id: '$a' } } }],
    [['content.m.relates_to'], {}],
    [['content', 'content.body', 'content.type'], { content: event.content }],
    [['content.body', 'content'], { content: event.content }],
    [['content.body.length', 'content.list.0', 'absent', 'content.absent', 'constructor'], {}],
  ])('%j', (fields, expected) => {
    expect(projectFields(event, fields)).toEqual(expected)
  })

  test('keep a key named __proto__ a plain key', () => {
    const hostile = JSON.parse('{"__proto__":{"a":1,"b":2}}')
    const kept = projectFields(hostile, ['__proto__.a'])
    expect(JSON.stringify(kept)).toBe('{"__proto__":{"a":1}}')
    expect(Object.getPrototypeOf(kept)).toBe(Object.prototype)
  })
})
