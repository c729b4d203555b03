import { describe, expect, test } from 'vitest'
import {
  eventLimit,
  FilterError,
  parseFilter,
  parseRoomEventFilter,
  syncTimelineBounds,
} from '../../src/matrix/filter.ts'

/** The field a FilterError names; fails when the filter is accepted. */
function refusedField(json: unknown): string {
  try {
    parseFilter(json)
  } catch (error) {
    if (error instanceof FilterError) {
      expect(error.message).not.toBe('')
      return error.field
    }
    throw error
  }
  throw new Error('the filter was accepted')
}

describe('a filter', () => {
  test('is kept as it is, unknown keys included', () => {
    const json = {
      event_fields: ['type', 'content.body'],
      event_format: 'federation',
      presence: { not_senders: ['@a:b'] },
      account_data: { types: ['m.*'], limit: 3 },
      room: {
        rooms: ['!a:b'],
        include_leave: true,
        state: { lazy_load_members: true, include_redundant_members: false },
        timeline: { limit: 0, contains_url: true, unread_thread_notifications: true },
        ephemeral: { senders: [] },
        account_data: {},
        'org.example.room': 1,
      },
      'org.example.filter': { a: [1] },
    }
    const before = structuredClone(json)
    expect(parseFilter(json)).toEqual(before)
  })

  test('may be empty', () => {
    expect(parseFilter({})).toEqual({})
  })

  test.each<[unknown, string]>([
    [undefined, ''],
    [null, ''],
    [[], ''],
    ['x', ''],
    [{ event_fields: 'type' }, 'event_fields'],
    [{ event_fields: [1] }, 'event_fields'],
    [{ event_format: 'raw' }, 'event_format'],
    [{ presence: 'not an object' }, 'presence'],
    [{ presence: { senders: ['alice'] } }, 'presence.senders'],
    [{ account_data: { types: 'm.direct' } }, 'account_data.types'],
    [{ account_data: null }, 'account_data'],
    [{ room: [] }, 'room'],
    [{ room: { rooms: ['#a:b'] } }, 'room.rooms'],
    [{ room: { not_rooms: '!a:b' } }, 'room.not_rooms'],
    [{ room: { include_leave: 'yes' } }, 'room.include_leave'],
    [{ room: { timeline: { limit: -1 } } }, 'room.timeline.limit'],
    [{ room: { timeline: { limit: 1.5 } } }, 'room.timeline.limit'],
    [{ room: { timeline: { limit: '10' } } }, 'room.timeline.limit'],
    [{ room: { state: { contains_url: 1 } } }, 'room.state.contains_url'],
    [{ room: { state: { lazy_load_members: 'true' } } }, 'room.state.lazy_load_members'],
    [{ room: { state: { include_redundant_members: 0 } } }, 'room.state.include_redundant_members'],
    [{ room: { timeline: { unread_thread_notifications: 1 } } }, 'room.timeline.unread_thread_notifications'],
    [{ room: { ephemeral: { not_types: [{}] } } }, 'room.ephemeral.not_types'],
    [{ room: { account_data: { not_rooms: [7] } } }, 'room.account_data.not_rooms'],
  ])('%j is refused, naming the field %j', (json, field) => {
    expect(refusedField(json)).toBe(field)
  })

  test('is not fooled by keys named like inherited properties', () => {
    expect(() => parseFilter(JSON.parse('{"__proto__":{"room":1},"constructor":1}'))).not.toThrow()
  })
})

test('a room event filter is checked on its own', () => {
  expect(parseRoomEventFilter({ types: ['a'] })).toEqual({ types: ['a'] })
  expect(() => parseRoomEventFilter({ rooms: 'x' })).toThrow(
    new FilterError('rooms', 'rooms must be a list of room ids'),
  )
})

test.each([
  [undefined, 10],
  [{}, 10],
  [{ limit: 0 }, 0],
  [{ limit: 1 }, 1],
  [{ limit: 100 }, 100],
  [{ limit: 5000 }, 100],
])('the timeline limit of %j is %j', (filter, expected) => {
  expect(eventLimit(filter, syncTimelineBounds)).toBe(expected)
})
