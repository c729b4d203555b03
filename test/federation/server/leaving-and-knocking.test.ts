import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventIdOf } from '../../../src/matrix/event-hash.ts'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { roomVersion } from '../../../src/matrix/room-version.ts'
import { type AskingServer, askingServer } from '../../support/asking-server.ts'
import { newClient, refusal, type RoomClient } from '../../support/room-client.ts'
import { startServer, type TestServer } from '../../support/server.ts'

let server: TestServer
let alice: RoomClient
let remote: AskingServer
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  remote = await askingServer(server, 'remote.test')
})
afterAll(() => server.stop())

const bob = '@bob:remote.test'
const membership = async (roomId: string, userId: string) =>
  (await alice.state(roomId, 'm.room.member', userId))?.['membership']

function rulesOf(version: string) {
  const rules = roomVersion(version)
  if (!rules) throw new Error(`no room version ${version}`)
  return rules
}

describe('leaving', () => {
  test.each(['1', '6', '12'])('a room of version %s, by a joined user', async (version) => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_version: version })
    await remote.join(roomId, bob)
    const made = await remote.make('leave', roomId, bob)
    expect(made.body).toMatchObject({ room_version: version, event: { content: { membership: 'leave' } } })
    const answer = await remote.send('leave', roomId, remote.fromTemplate(made))
    expect(answer).toMatchObject({ status: 200, body: {} })
    expect(await membership(roomId, bob)).toBe('leave')
  })

  test('turns down an invite, and answers in the form of the first version too', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '10' })
    await remote.join(roomId, bob)
    await alice.act('kick', roomId, bob)
    await server.room(roomId).then((room) =>
      room.sendEvent({
        draft: {
          type: 'm.room.member',
          sender: alice.userId as never,
          state_key: bob,
          content: { membership: 'invite' },
        },
      }),
    )
    const event = remote.fromTemplate(await remote.make('leave', roomId, bob))
    const answer = await remote.send<[number, JsonObject]>('leave', roomId, event, { version: 1 })
    expect(answer).toMatchObject({ status: 200, body: [200, {}] })
    expect(await membership(roomId, bob)).toBe('leave')
  })

  test('is refused to those who are not there', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '10' })
    expect(await remote.make('leave', roomId, bob)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await remote.make('leave', '!nowhere:test.local', bob)).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await remote.make('leave', roomId, alice.userId)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  test.each([
    ['a join', (event: JsonObject) => ({ ...event, content: { membership: 'join' } })],
    ['a kick', (event: JsonObject) => ({ ...event, state_key: '@doris:remote.test' })],
    ['a message', (event: JsonObject) => ({ ...event, type: 'm.room.message' })],
    ['an event of another server', (event: JsonObject) => ({ ...event, sender: '@bob:other.test' })],
  ])('is not done by %s', async (_, change) => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '10' })
    await remote.join(roomId, bob)
    const { body } = await remote.make('leave', roomId, bob)
    const event = remote.sign(rulesOf('10'), change(body['event'] as JsonObject))
    expect(await remote.send('leave', roomId, event)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await membership(roomId, bob)).toBe('join')
  })
})

describe('knocking', () => {
  const knockRoom = async (version: string, joinRule = 'knock') =>
    await alice.createRoom({
      room_version: version,
      name: 'Knock here',
      initial_state: [{ type: 'm.room.join_rules', state_key: '', content: { join_rule: joinRule } }],
    })

  test.each(['7', '10', '12'])('on a room of version %s is answered with whole events', async (version) => {
    const roomId = await knockRoom(version)
    const made = await remote.make('knock', roomId, bob)
    expect(made.body).toMatchObject({ room_version: version, event: { content: { membership: 'knock' } } })
    const { status, body } = await remote.send<{ knock_room_state: JsonObject[] }>(
      'knock',
      roomId,
      remote.fromTemplate(made),
    )
    expect(status).toBe(200)
    const state = body.knock_room_state
    expect(state.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['m.room.create', 'm.room.name', 'm.room.join_rules']),
    )
    for (const pdu of state) {
      expect(pdu).toMatchObject({ hashes: expect.anything(), signatures: expect.anything() })
    }
    const create = state.find(({ type }) => type === 'm.room.create')
    if (version === '12') expect(`!${eventIdOf(create ?? {}, rulesOf('12')).slice(1)}`).toBe(roomId)
    expect(await membership(roomId, bob)).toBe('knock')
  })

  test('is refused where it is not allowed, to banned users, and to servers that do not know the version', async () => {
    const closed = await knockRoom('10', 'invite')
    expect(await remote.make('knock', closed, bob)).toEqual(refusal(403, 'M_FORBIDDEN'))
    const old = await alice.createRoom({ preset: 'public_chat', room_version: '6' })
    expect(await remote.make('knock', old, bob)).toEqual(refusal(403, 'M_FORBIDDEN'))
    const roomId = await knockRoom('10')
    expect(await remote.make('knock', roomId, bob, ['7'])).toEqual(
      refusal(400, 'M_INCOMPATIBLE_ROOM_VERSION'),
    )
    expect(await remote.make('knock', roomId, bob, [])).toEqual(refusal(400, 'M_MISSING_PARAM'))
    const event = remote.fromTemplate(await remote.make('knock', roomId, bob))
    await alice.act('ban', roomId, bob)
    expect(await remote.make('knock', roomId, bob)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await remote.send('knock', roomId, event)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await remote.make('knock', '!nowhere:test.local', bob)).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  test('is not done by a join', async () => {
    const roomId = await knockRoom('10')
    const made = await remote.make('knock', roomId, bob)
    const event = remote.fromTemplate(made, { content: { membership: 'join' } })
    expect(await remote.send('knock', roomId, event)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await membership(roomId, bob)).toBeUndefined()
  })

  test('is taken back by leaving', async () => {
    const roomId = await knockRoom('10')
    await remote.send('knock', roomId, remote.fromTemplate(await remote.make('knock', roomId, bob)))
    await remote.send('leave', roomId, remote.fromTemplate(await remote.make('leave', roomId, bob)))
    expect(await membership(roomId, bob)).toBe('leave')
  })
})
