// POST /createRoom with its options.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
})
afterAll(() => server.stop())

const create = (options: JsonObject) => alice.call('POST', '/createRoom', options)

describe('the identity of a new room', () => {
  it('MSC4291: is the hash of its create event in version 12', async () => {
    const roomId = await alice.createRoom({ room_version: '12' })
    expect(roomId).toMatch(/^![A-Za-z0-9_-]{43}$/)
    const event = await alice.event(roomId, `$${roomId.slice(1)}`)
    expect(event.body).toMatchObject({ type: 'm.room.create', sender: alice.userId })
  })

  it('MSC4304: is of version 12 where nothing else is asked for (MSC4239 had that be 11)', async () => {
    const { capabilities } = await alice.done('GET', '/capabilities')
    expect(capabilities).toMatchObject({
      'm.room_versions': { default: '12', available: { '11': 'stable', '12': 'stable' } },
    })
    const roomId = await alice.createRoom()
    expect(await alice.state(roomId, 'm.room.create')).toMatchObject({ room_version: '12' })
  })

  it.each(['1', '5', '11'])('is random with the name of the server in version %s', async (version) => {
    const roomId = await alice.createRoom({ room_version: version })
    expect(roomId).toMatch(/^![A-Za-z0-9_-]{18}:test\.local$/)
    expect(await alice.state(roomId, 'm.room.create')).toMatchObject({ room_version: version })
  })

  it('is never that of another room that was made alike at the same time', async () => {
    const rooms = await Promise.all(Array.from({ length: 8 }, () => alice.createRoom({ room_version: '12' })))
    expect(new Set(rooms).size).toBe(8)
  })
})

describe('the create event', () => {
  it('keeps what the client adds, but neither creator nor room version', async () => {
    const creation = { test: 'azerty', 'm.federate': false, room_version: 'test', creator: '@eve:test.local' }
    const roomId = await alice.createRoom({ room_version: '10', creation_content: creation })
    expect(await alice.state(roomId, 'm.room.create')).toEqual({
      test: 'azerty',
      'm.federate': false,
      room_version: '10',
      creator: alice.userId,
    })
  })

  it('names no creator from version 11 on', async () => {
    const roomId = await alice.createRoom({ room_version: '11', creation_content: { creator: 'x' } })
    expect(await alice.state(roomId, 'm.room.create')).toEqual({ room_version: '11' })
  })

  it('MSC4289: makes the invitees of a trusted private chat creators in version 12', async () => {
    const roomId = await alice.createRoom({
      room_version: '12',
      preset: 'trusted_private_chat',
      invite: [bob.userId],
      creation_content: { additional_creators: ['@carol:other.org', bob.userId] },
    })
    const { additional_creators: creators } = (await alice.state(roomId, 'm.room.create')) ?? {}
    expect(creators).toEqual(['@carol:other.org', bob.userId])
    expect(await alice.state(roomId, 'm.room.power_levels')).toMatchObject({ users: {} })
  })

  it.each([['not-a-list'], [['@foo:example.org', 42]], [['no-user-id']], [['@invalid:dom$ain.com']]])(
    'is refused with the additional creators %j',
    async (creators) => {
      const answer = await create({ room_version: '12', creation_content: { additional_creators: creators } })
      expect(answer).toEqual(refusal(400, 'M_INVALID_PARAM'))
    },
  )
})

describe('the state of a new room', () => {
  it('is that of a public chat where the visibility is public', async () => {
    const roomId = await alice.createRoom({ visibility: 'public' })
    expect(await alice.state(roomId, 'm.room.join_rules')).toEqual({ join_rule: 'public' })
    // Guests are kept out without the event as well.
    expect(await alice.state(roomId, 'm.room.guest_access')).toBeUndefined()
  })

  it('has a topic in both forms, which overrides that of the initial state', async () => {
    const initial = { type: 'm.room.topic', state_key: '', content: { topic: 'Shenanigans' } }
    const roomId = await alice.createRoom({ topic: 'Test', initial_state: [initial] })
    expect(await alice.state(roomId, 'm.room.topic')).toEqual({
      topic: 'Test',
      'm.topic': { 'm.text': [{ body: 'Test' }] },
    })
  })

  it('has a main alias that points to it', async () => {
    const roomId = await alice.createRoom({ room_alias_name: 'main' })
    expect(await alice.state(roomId, 'm.room.canonical_alias')).toEqual({ alias: '#main:test.local' })
    expect((await bob.aliasTarget('#main:test.local')).body).toEqual({
      room_id: roomId,
      servers: ['test.local'],
    })
  })

  it('invites with the profile of those who are invited', async () => {
    await bob.done('PUT', `/profile/${bob.userId}/displayname`, { displayname: 'Bob' })
    const roomId = await alice.createRoom({ invite: [bob.userId, bob.userId], is_direct: true })
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toEqual({
      membership: 'invite',
      displayname: 'Bob',
      is_direct: true,
    })
  })
})

describe('a room is not created', () => {
  it.each<[string, JsonObject, number, string]>([
    ['with a numeric version', { room_version: 1 }, 400, 'M_BAD_JSON'],
    ['with an unknown version', { room_version: '99' }, 400, 'M_UNSUPPORTED_ROOM_VERSION'],
    ['with an unknown preset', { preset: 'chaos' }, 400, 'M_BAD_JSON'],
    ['with an alias nobody could type', { room_alias_name: 'a b' }, 400, 'M_INVALID_PARAM'],
    ['with an alias that names a server', { room_alias_name: 'a:evil.org' }, 400, 'M_INVALID_PARAM'],
    ['with state that has no content', { initial_state: [{ type: 'm.room.name' }] }, 400, 'M_MISSING_PARAM'],
    ['with invites by e-mail of no address', { invite_3pid: [{ medium: 'email' }] }, 400, 'M_MISSING_PARAM'],
    ['with invites to what is no user', { invite: ['bob'] }, 400, 'M_INVALID_PARAM'],
    ['with invites to users who do not exist', { invite: ['@nobody:test.local'] }, 404, 'M_NOT_FOUND'],
    [
      'when its creator could not name it',
      { room_version: '11', name: 'x', power_level_content_override: { users: {} } },
      400,
      'M_INVALID_ROOM_STATE',
    ],
    [
      'when its creator is listed in version 12',
      { room_version: '12', power_level_content_override: { users: { '@alice:test.local': 100 } } },
      400,
      'M_BAD_JSON',
    ],
  ])('%s', async (_, options, status, errcode) => {
    expect(await create(options)).toEqual(refusal(status, errcode))
  })

  it('under an alias that is taken, and fails to take one it does not use', async () => {
    const roomId = await alice.createRoom({ room_alias_name: 'taken' })
    expect(await create({ room_alias_name: 'taken' })).toEqual(refusal(400, 'M_ROOM_IN_USE'))
    expect((await alice.aliasTarget('#taken:test.local')).body['room_id']).toBe(roomId)
    const failing = {
      room_version: '11',
      room_alias_name: 'free',
      power_level_content_override: { users: {} },
    }
    expect((await create({ ...failing, name: 'x' })).status).toBe(400)
    expect(await alice.aliasTarget('#free:test.local')).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it('with an invite to somebody who accepts none', async () => {
    const carol = await newClient(server, 'carol')
    const path = `/user/${carol.userId}/account_data/m.invite_permission_config`
    await carol.done('PUT', path, { default_action: 'block' })
    expect(await create({ invite: [carol.userId] })).toEqual(refusal(403, 'M_INVITE_BLOCKED'))
  })
})
