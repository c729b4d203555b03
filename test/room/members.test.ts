import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { localRoom, type LocalRoom } from '../support/local-room.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

interface Members {
  readonly chunk: readonly { state_key: string; room_id: string; content: { membership: string } }[]
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

/** `localpart membership` of each, sorted. */
async function membersOf(room: LocalRoom, reader: Account, query: Record<string, string> = {}) {
  const { status, body } = await room.get<Members>(reader, 'members', query)
  expect(status, JSON.stringify(body)).toBe(200)
  expect(body.chunk.every((event) => event.room_id === room.roomId)).toBe(true)
  return body.chunk
    .map(({ state_key: key, content }) => `${key.slice(1, key.indexOf(':'))} ${content.membership}`)
    .toSorted()
}

async function tokenNow(room: LocalRoom, reader: Account): Promise<string> {
  const { body } = await room.get(reader, 'messages', { dir: 'b', limit: '0' })
  return textOf(body, 'start')
}

describe('members', () => {
  let room: LocalRoom
  beforeAll(async () => {
    room = await localRoom(server, alice)
    await room.member(bob, 'join')
    await room.member(alice, 'invite', carol)
    await room.member(bob, 'leave')
  })

  test('are all who have a membership', async () => {
    expect(await membersOf(room, alice)).toEqual(['alice join', 'bob leave', 'carol invite'])
  })

  test('can be selected by what they are, by what they are not, or by either', async () => {
    expect(await membersOf(room, alice, { membership: 'leave' })).toEqual(['bob leave'])
    expect(await membersOf(room, alice, { not_membership: 'leave' })).toEqual(['alice join', 'carol invite'])
    const either = { membership: 'leave', not_membership: 'join' }
    expect(await membersOf(room, alice, either)).toEqual(['bob leave', 'carol invite'])
    const { status, body } = await room.get(alice, 'members', { membership: 'friend' })
    expect([status, body['errcode']]).toEqual([400, 'M_INVALID_PARAM'])
  })

  test('are those of the time of leaving for one who left', async () => {
    expect(await membersOf(room, bob)).toEqual(['alice join', 'bob leave', 'carol invite'])
    await room.member(carol, 'join')
    expect(await membersOf(room, bob)).toEqual(['alice join', 'bob leave', 'carol invite'])
    expect(await membersOf(room, bob, { at: await tokenNow(room, alice) })).toContain('carol invite')
  })
})

describe('members at an earlier point', () => {
  test('are those of that point', async () => {
    const room = await localRoom(server, alice)
    const at = await tokenNow(room, alice)
    await room.member(bob, 'join')
    expect(await membersOf(room, alice, { at })).toEqual(['alice join'])
    expect(await membersOf(room, bob, { at })).toEqual(['alice join'])
    expect(await membersOf(room, alice)).toEqual(['alice join', 'bob join'])
    const { status, body } = await room.get(alice, 'members', { at: 'then' })
    expect([status, body['errcode']]).toEqual([400, 'M_INVALID_PARAM'])
  })

  test('are kept from those who could not see the room then', async () => {
    const room = await localRoom(server, alice, { visibility: 'joined' })
    await room.say(alice, 'secret')
    const at = await tokenNow(room, alice)
    await room.member(bob, 'join')
    expect((await room.get(bob, 'members', { at })).status).toBe(403)
    expect(await membersOf(room, alice, { at })).toEqual(['alice join'])
  })
})

describe('joined members', () => {
  test('come with their profiles', async () => {
    const room = await localRoom(server, alice)
    await room.member(alice, 'invite', carol)
    await room.send(
      bob,
      'm.room.member',
      { membership: 'join', avatar_url: 'mxc://test.local/a' },
      bob.userId,
    )
    const { body } = await room.get(alice, 'joined_members')
    expect(body).toEqual({
      joined: {
        [alice.userId]: { display_name: 'The Creator', avatar_url: null },
        [bob.userId]: { display_name: null, avatar_url: 'mxc://test.local/a' },
      },
    })
  })

  test('are kept from everyone who is not joined', async () => {
    const room = await localRoom(server, alice, { visibility: 'world_readable' })
    await room.member(bob, 'join')
    await room.member(bob, 'leave')
    for (const reader of [bob, carol]) {
      const { status, body } = await room.get(reader, 'joined_members')
      expect([status, body['errcode']]).toEqual([403, 'M_FORBIDDEN'])
    }
  })
})

test('joined rooms are those that the user is in', async () => {
  const dave = await server.register('dave')
  const stays = await localRoom(server, alice)
  const goes = await localRoom(server, alice)
  const offered = await localRoom(server, alice)
  await stays.member(dave, 'join')
  await goes.member(dave, 'join')
  await goes.member(dave, 'leave')
  await offered.member(alice, 'invite', dave)
  const { body } = await server.request('GET', '/_matrix/client/v3/joined_rooms', { token: dave.token })
  expect(body).toEqual({ joined_rooms: [stays.roomId] })
})
