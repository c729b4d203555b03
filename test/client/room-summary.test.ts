// Summaries of rooms of this server.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
})
afterAll(async () => await server.stop())

const stable = '/_matrix/client/v1/room_summary/'

async function summary(client: { token: string } | undefined, room: string, path = `${stable}{}`) {
  const url = path.replace('{}', encodeURIComponent(room))
  return await server.request('GET', url, client ? { token: client.token } : {})
}

const notFound = refusal(404, 'M_NOT_FOUND')
const state = (type: string, content: JsonObject) => ({ type, state_key: '', content })

describe('MSC3266: the summary of a room', () => {
  it('has everything that somebody wants to know before they join', async () => {
    const roomId = await alice.createRoom({
      preset: 'public_chat',
      name: 'Cheese',
      topic: 'Tasty',
      room_alias_name: 'cheese',
      room_version: '11',
      creation_content: { type: 'm.space' },
      initial_state: [
        state('m.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' }),
        state('m.room.guest_access', { guest_access: 'can_join' }),
        state('m.room.avatar', { url: 'mxc://test.local/brie' }),
      ],
    })
    const expected = {
      room_id: roomId,
      name: 'Cheese',
      topic: 'Tasty',
      canonical_alias: '#cheese:test.local',
      avatar_url: 'mxc://test.local/brie',
      room_type: 'm.space',
      room_version: '11',
      encryption: 'm.megolm.v1.aes-sha2',
      join_rule: 'public',
      guest_can_join: true,
      world_readable: false,
      num_joined_members: 1,
    }
    expect((await summary(alice, roomId)).body).toEqual({ ...expected, membership: 'join' })
    expect((await summary(bob, '#cheese:test.local')).body).toEqual({ ...expected, membership: 'leave' })
    expect((await summary(undefined, roomId)).body).toEqual(expected)
  })

  it('agrees with the directory and with spaces', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', name: 'Same', visibility: 'public' })
    const { body: one } = await summary(undefined, roomId)
    const { room_version: version, ...published } = one
    const { body: directory } = await server.request('GET', '/_matrix/client/v3/publicRooms')
    expect(directory['chunk']).toContainEqual(published)
    const { body: hierarchy } = await server.request(
      'GET',
      `/_matrix/client/v1/rooms/${encodeURIComponent(roomId)}/hierarchy`,
      { token: bob.token },
    )
    expect(hierarchy['rooms']).toEqual([{ ...published, room_version: version, children_state: [] }])
  })

  it('names the rooms whose members may join, where there are such', async () => {
    const space = await alice.createRoom({ preset: 'public_chat' })
    const allow = [{ type: 'm.room_membership', room_id: space }]
    const options = { initial_state: [state('m.room.join_rules', { join_rule: 'restricted', allow })] }
    const roomId = await alice.createRoom(options)
    expect((await summary(alice, roomId)).body).toMatchObject({
      join_rule: 'restricted',
      allowed_room_ids: [space],
    })
    expect((await summary(alice, space)).body).not.toHaveProperty('allowed_room_ids')
    expect(await summary(bob, roomId)).toEqual(notFound)
    expect(await summary(undefined, roomId)).toEqual(notFound)
    await bob.join(space)
    expect((await summary(bob, roomId)).body).toMatchObject({ room_id: roomId, membership: 'leave' })
  })

  it('also has the names of clients that know the unstable endpoints', async () => {
    const roomId = await alice.createRoom({
      preset: 'public_chat',
      room_version: '11',
      initial_state: [state('m.room.encryption', { algorithm: 'm.megolm.v1.aes-sha2' })],
    })
    const base = '/_matrix/client/unstable/im.nheko.summary'
    for (const path of [`${base}/summary/{}`, `${base}/rooms/{}/summary`]) {
      expect((await summary(bob, roomId, path)).body).toMatchObject({
        room_version: '11',
        'im.nheko.summary.room_version': '11',
        'im.nheko.summary.version': '11',
        'im.nheko.summary.encryption': 'm.megolm.v1.aes-sha2',
      })
    }
  })
})

describe('MSC3266: a room is not found', () => {
  it('by those who could not join it, invited ones aside', async () => {
    const roomId = await alice.createRoom({ preset: 'private_chat' })
    const nothing = await summary(bob, '!nothing:test.local')
    expect(nothing).toEqual(notFound)
    expect((await summary(bob, roomId)).body).toEqual(nothing.body)
    expect(await summary(undefined, roomId)).toEqual(notFound)
    await alice.act('invite', roomId, bob.userId)
    expect((await summary(bob, roomId)).body).toMatchObject({ membership: 'invite', join_rule: 'invite' })
  })

  it('by the banned, unless everybody may read it', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await alice.act('ban', roomId, bob.userId)
    expect(await summary(bob, roomId)).toEqual(notFound)
    await alice.setState(roomId, 'm.room.history_visibility', { history_visibility: 'world_readable' })
    expect((await summary(bob, roomId)).body).toMatchObject({ membership: 'ban', world_readable: true })
  })

  it('under an alias that leads nowhere', async () => {
    expect(await summary(bob, '#nothing:test.local')).toEqual(notFound)
    expect(await summary(bob, '#nothing:elsewhere.test')).toEqual(notFound)
  })

  it('elsewhere, where no server can be reached', async () => {
    expect(await summary(bob, '!room:elsewhere.test', `${stable}{}?via=one.test&via=two.test`)).toEqual(
      notFound,
    )
  })
})

it('somebody who is not signed in finds rooms to knock on, and a guest is told their membership', async () => {
  const roomId = await alice.createRoom({
    initial_state: [state('m.room.join_rules', { join_rule: 'knock' })],
  })
  expect((await summary(undefined, roomId)).body).toMatchObject({ join_rule: 'knock' })
  const { body } = await server.request('POST', '/_matrix/client/v3/register?kind=guest', { body: {} })
  expect((await summary({ token: textOf(body, 'access_token') }, roomId)).body).toMatchObject({
    membership: 'leave',
  })
  expect(await summary({ token: 'wrong' }, roomId)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
})

it('what is neither a room id nor an alias is refused', async () => {
  expect(await summary(bob, '@bob:test.local')).toEqual(refusal(400, 'M_INVALID_PARAM'))
})
