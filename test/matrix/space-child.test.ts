import { describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { compareChildren, parseSpaceChild } from '../../src/matrix/space-child.ts'

const event = (stateKey: string, content: JsonObject, fields: JsonObject = {}): JsonObject => ({
  type: 'm.space.child',
  state_key: stateKey,
  sender: '@a:b.test',
  content,
  origin_server_ts: 1,
  ...fields,
})

describe('a child of a space', () => {
  it.each<[string, JsonObject]>([
    ['names no servers to join through', {}],
    ['names none of them', { via: [] }],
    ['names something else', { via: 'one.test' }],
    ['names something else among them', { via: ['one.test', 1] }],
  ])('is none where its event %s', (_, content) => {
    expect(parseSpaceChild(event('!a:b.test', content))).toBeUndefined()
  })

  it('is none where its state key is no room id, or its type another one', () => {
    expect(parseSpaceChild(event('#a:b.test', { via: ['one.test'] }))).toBeUndefined()
    const parent = event('!a:b.test', { via: ['one.test'] }, { type: 'm.space.parent' })
    expect(parseSpaceChild(parent)).toBeUndefined()
  })

  it('is suggested only where the event says so with true', () => {
    const suggested = (value: JsonObject) =>
      parseSpaceChild(event('!a:b.test', { via: ['one.test'], ...value }))?.suggested
    expect([{}, { suggested: 'true' }, { suggested: true }].map(suggested)).toEqual([false, false, true])
  })

  it('keeps of the servers those that are names', () => {
    expect(parseSpaceChild(event('!a:b.test', { via: ['one.test', 'not a name'] }))?.via).toEqual([
      'one.test',
    ])
  })

  it.each([['é'], [''], ['x'.repeat(51)], ['\n'], [3], [['a']]])('has no order where it is %j', (order) => {
    expect(parseSpaceChild(event('!a:b.test', { via: ['one.test'], order }))?.order).toBeUndefined()
  })
})

it('children come in the order of the example of the specification', () => {
  const children = [
    event('!b:example.org', { order: ' ' }, { origin_server_ts: 1640341000000 }),
    event('!a:example.org', { order: 'aaaa' }, { origin_server_ts: 1640141000000 }),
    event('!c:example.org', { order: 'first' }, { origin_server_ts: 1640841000000 }),
    event('!e:example.org', {}, { origin_server_ts: 1640641000000 }),
    event('!d:example.org', {}, { origin_server_ts: 1640741000000 }),
  ].map((child) =>
    parseSpaceChild({ ...child, content: { ...(child['content'] as JsonObject), via: ['a.test'] } }),
  )
  const known = children.filter((child) => child !== undefined)
  expect(known.toReversed().toSorted(compareChildren)).toEqual(known)
  expect(known).toHaveLength(5)
})

it('children with the same order come by age, those of the same age by room id', () => {
  const child = (roomId: string, timestamp: number) =>
    parseSpaceChild(event(roomId, { via: ['a.test'], order: 'x' }, { origin_server_ts: timestamp }))
  const known = [child('!z:a.test', 1), child('!a:a.test', 2), child('!b:a.test', 2)].filter(
    (one) => one !== undefined,
  )
  expect(known.toReversed().toSorted(compareChildren)).toEqual(known)
})
