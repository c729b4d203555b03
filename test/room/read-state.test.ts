import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { localRoom, type LocalRoom } from '../support/local-room.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'

interface StateEvent {
  readonly event_id: string
  readonly type: string
  readonly state_key: string
  readonly room_id: string
  readonly content: Record<string, unknown>
}

let server: TestServer
let alice: Account
let bob: Account
let carol: Account
beforeAll(async () => {
  server = await startServer()
  alice = await server.register('alice')
  bob = await server.register('bob')
  carol = await server.register('carol')
})
afterAll(() => server.stop())

async function topicOf(room: LocalRoom, reader: Account): Promise<unknown> {
  const { body } = await room.get(reader, 'state/m.room.topic')
  return body['topic']
}

test('the whole state has each slot once, with its newest event', async () => {
  const room = await localRoom(server, alice)
  await room.send(alice, 'm.room.topic', { topic: 'first' }, '')
  const topic = await room.send(alice, 'm.room.topic', { topic: 'second' }, '')
  const { status, body } = await room.get<StateEvent[]>(alice, 'state')
  expect(status).toBe(200)
  expect(body.map(({ type, state_key: key }) => `${type}|${key}`).toSorted()).toEqual([
    'm.room.create|',
    'm.room.history_visibility|',
    'm.room.join_rules|',
    `m.room.member|${alice.userId}`,
    'm.room.power_levels|',
    'm.room.topic|',
  ])
  expect(body.find(({ type }) => type === 'm.room.topic')?.event_id).toBe(topic)
  expect(body.every((event) => event.room_id === room.roomId)).toBe(true)
})

test('a state of many events comes whole', async () => {
  const room = await localRoom(server, alice)
  for (let i = 0; i < 450; i += 1) await room.send(alice, 'org.example.slot', { i }, `key ${i}`)
  const { body } = await room.get<StateEvent[]>(alice, 'state')
  const numbers = body.filter(({ type }) => type === 'org.example.slot').map(({ content }) => content['i'])
  expect(numbers).toEqual(Array.from({ length: 450 }, (_, i) => i))
})

describe('one state event', () => {
  test('is its content, or all of it with format=event', async () => {
    const room = await localRoom(server, alice)
    const topic = await room.send(alice, 'm.room.topic', { topic: 'here' }, '')
    for (const path of ['state/m.room.topic', 'state/m.room.topic/']) {
      const { body } = await room.get(alice, path)
      expect(body).toEqual({ topic: 'here' })
    }
    const { body: event } = await room.get(alice, 'state/m.room.topic/', { format: 'event' })
    expect(event).toMatchObject({
      event_id: topic,
      type: 'm.room.topic',
      state_key: '',
      sender: alice.userId,
      room_id: room.roomId,
      content: { topic: 'here' },
    })
    const { status, body } = await room.get(alice, 'state/m.room.topic', { format: 'else' })
    expect([status, body['errcode']]).toEqual([400, 'M_INVALID_PARAM'])
  })

  test('is found by a state key with any characters', async () => {
    const room = await localRoom(server, alice)
    for (const key of ['a/b', 'ä%2Fö', 'x?y#z', '__proto__', ' ']) {
      await room.send(alice, 'org.example.slot', { key }, key)
      const { body } = await room.get(alice, `state/org.example.slot/${encodeURIComponent(key)}`)
      expect(body).toEqual({ key })
    }
  })

  test('that is not there is M_NOT_FOUND', async () => {
    const room = await localRoom(server, alice)
    await room.send(alice, 'm.room.topic', { topic: 'here' }, 'key')
    const { status, body } = await room.get(alice, 'state/m.room.topic')
    expect([status, body['errcode']]).toEqual([404, 'M_NOT_FOUND'])
  })
})

describe('the state', () => {
  test('is that of their leaving for those who left', async () => {
    const room = await localRoom(server, alice)
    await room.send(alice, 'm.room.topic', { topic: 'before' }, '')
    await room.member(bob, 'join')
    await room.member(bob, 'leave')
    await room.send(alice, 'm.room.topic', { topic: 'after' }, '')
    expect([await topicOf(room, bob), await topicOf(room, alice)]).toEqual(['before', 'after'])
    const { body } = await room.get<StateEvent[]>(bob, 'state')
    expect(body.find(({ type }) => type === 'm.room.topic')?.content).toEqual({ topic: 'before' })
  })

  test('is that of their leaving also for those who are invited again', async () => {
    const room = await localRoom(server, alice)
    await room.send(alice, 'm.room.topic', { topic: 'before' }, '')
    await room.member(bob, 'join')
    await room.member(alice, 'leave', bob)
    await room.send(alice, 'm.room.topic', { topic: 'after' }, '')
    await room.member(alice, 'invite', bob)
    expect(await topicOf(room, bob)).toBe('before')
  })

  test('is refused to strangers, invited users and those who turned an invite down', async () => {
    const room = await localRoom(server, alice)
    await room.member(alice, 'invite', bob)
    const paths = ['state', 'state/m.room.create', 'state/m.room.nothing', 'members', 'joined_members']
    const refused = async (reader: Account) => {
      for (const path of paths) {
        const { status, body } = await room.get(reader, path)
        expect([path, status, body['errcode']]).toEqual([path, 403, 'M_FORBIDDEN'])
      }
    }
    await refused(carol)
    await refused(bob)
    await room.member(bob, 'leave')
    await refused(bob)
  })

  test('is open to strangers where the room is world readable, until it no longer is', async () => {
    const room = await localRoom(server, alice, { visibility: 'world_readable' })
    await room.send(alice, 'm.room.topic', { topic: 'open' }, '')
    expect(await topicOf(room, carol)).toBe('open')
    await room.send(alice, 'm.room.history_visibility', { history_visibility: 'shared' }, '')
    expect((await room.get(carol, 'state')).status).toBe(403)
  })
})
