// Joining, leaving, inviting, kicking, banning and knocking.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient, roomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
let carol: RoomClient
beforeAll(async () => {
  // Two shards, so that users are found where they live.
  server = await startServer({ vars: { HUB_SHARDS: '2', DEFAULT_ROOM_VERSION: '11' } })
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
  carol = await newClient(server, 'carol')
})
afterAll(() => server.stop())

const forbidden = refusal(403, 'M_FORBIDDEN')

async function roomWithBob(options: JsonObject = {}): Promise<string> {
  const roomId = await alice.createRoom({ preset: 'public_chat', ...options })
  expect((await bob.join(roomId)).status).toBe(200)
  return roomId
}

const membership = async (roomId: string, user: RoomClient) =>
  (await alice.state(roomId, 'm.room.member', user.userId))?.['membership']

describe('joining', () => {
  it('works by alias, and says which room it was', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat', room_alias_name: 'open' })
    const body = { reason: 'curious', custom: 'too', membership: 'ban' }
    expect(await bob.join('#open:test.local', body)).toMatchObject({
      status: 200,
      body: { room_id: roomId },
    })
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toMatchObject({
      membership: 'join',
      reason: 'curious',
      custom: 'too',
    })
  })

  it('needs an invite where the room asks for one', async () => {
    const roomId = await alice.createRoom({ preset: 'private_chat' })
    expect(await bob.join(roomId)).toEqual(forbidden)
    expect((await alice.act('invite', roomId, bob.userId)).status).toBe(200)
    expect((await bob.join(roomId)).status).toBe(200)
    expect((await bob.done('GET', '/joined_rooms'))['joined_rooms']).toContain(roomId)
  })

  it('twice makes one event', async () => {
    const roomId = await roomWithBob()
    const before = await alice.state(roomId, 'm.room.member', bob.userId)
    expect((await bob.join(roomId)).status).toBe(200)
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toEqual(before)
  })

  it('fails for rooms, aliases and texts that are none', async () => {
    expect(await bob.join('!nowhere:test.local')).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await bob.join('#nowhere:test.local')).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await bob.join('#nowhere:other.org')).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    expect(await bob.join('nowhere')).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })

  it('is refused to those who are banned, until that is lifted', async () => {
    const roomId = await roomWithBob()
    expect((await alice.act('ban', roomId, bob.userId, { reason: 'spam' })).status).toBe(200)
    expect(await bob.join(roomId)).toEqual(forbidden)
    expect(await alice.act('invite', roomId, bob.userId)).toEqual(forbidden)
    expect((await alice.act('unban', roomId, bob.userId)).status).toBe(200)
    expect((await bob.join(roomId)).status).toBe(200)
  })

  it('by a third-party invite takes one that says something', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const answer = await bob.join(roomId, { third_party_signed: {} })
    expect(answer).toEqual(refusal(400, 'M_MISSING_PARAM'))
  })
})

describe('inviting', () => {
  it('is for members, and of those who are not', async () => {
    const roomId = await roomWithBob()
    expect(await carol.act('invite', roomId, bob.userId)).toEqual(forbidden)
    expect(await alice.act('invite', roomId, bob.userId)).toEqual(forbidden)
    expect(await alice.act('invite', roomId, alice.userId)).toEqual(forbidden)
    expect(await alice.act('invite', roomId, '@nobody:test.local')).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await alice.act('invite', roomId, '@bob:other.org')).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    expect(await alice.act('invite', roomId, 'bob')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await alice.inRoom('POST', roomId, 'invite', {})).toEqual(refusal(400, 'M_MISSING_PARAM'))
    const byEmail = { id_server: 'id.org', medium: 'email', address: 'a@b.c' }
    expect(await alice.inRoom('POST', roomId, 'invite', byEmail)).toEqual(refusal(400, 'M_MISSING_PARAM'))
  })

  it('reaches a user on another shard', async () => {
    const roomId = await alice.createRoom({ preset: 'private_chat', name: 'Both' })
    for (const user of [bob, carol]) {
      expect((await alice.act('invite', roomId, user.userId)).status).toBe(200)
      const sync = await user.done('GET', '/sync?timeout=0')
      expect(JSON.stringify(sync['rooms'])).toContain(roomId)
    }
  })
})

describe('leaving', () => {
  it('rejects an invite, and is fine twice', async () => {
    const roomId = await alice.createRoom({ invite: [bob.userId] })
    expect((await bob.leave(roomId, { reason: 'no' })).status).toBe(200)
    expect(await membership(roomId, bob)).toBe('leave')
    expect((await bob.leave(roomId)).status).toBe(200)
  })

  it('is not for those who were never there', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    expect(await bob.leave(roomId)).toEqual(forbidden)
    expect(await bob.leave('!nowhere:test.local')).toEqual(forbidden)
  })

  it('comes before forgetting', async () => {
    const roomId = await roomWithBob()
    expect(await bob.inRoom('POST', roomId, 'forget', {})).toEqual(refusal(400, 'M_UNKNOWN'))
    await bob.leave(roomId)
    expect((await bob.inRoom('POST', roomId, 'forget', {})).status).toBe(200)
  })
})

describe('kicking', () => {
  it('takes a member with less power out', async () => {
    const roomId = await roomWithBob()
    expect(await bob.act('kick', roomId, alice.userId)).toEqual(forbidden)
    expect((await alice.act('kick', roomId, bob.userId, { reason: 'loud' })).status).toBe(200)
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toEqual({
      membership: 'leave',
      reason: 'loud',
    })
  })

  it('needs somebody who is there', async () => {
    const roomId = await roomWithBob()
    expect(await alice.act('kick', roomId, carol.userId)).toEqual(forbidden)
    await bob.leave(roomId)
    expect(await alice.act('kick', roomId, bob.userId)).toEqual(forbidden)
    await alice.act('ban', roomId, bob.userId)
    expect(await alice.act('kick', roomId, bob.userId)).toEqual(forbidden)
  })

  it('is not for outsiders, whatever their power', async () => {
    const roomId = await roomWithBob({
      power_level_content_override: { users: { [carol.userId]: 90, [alice.userId]: 100 } },
    })
    for (const action of ['kick', 'ban', 'unban']) {
      expect(await carol.act(action, roomId, bob.userId)).toEqual(forbidden)
    }
    expect(await membership(roomId, bob)).toBe('join')
  })
})

describe('unbanning', () => {
  it('is for those who are banned', async () => {
    const roomId = await roomWithBob()
    expect(await alice.act('unban', roomId, bob.userId)).toEqual(forbidden)
    expect(await membership(roomId, bob)).toBe('join')
  })
})

describe('knocking', () => {
  const knockRoom = (version = '11') =>
    alice.createRoom({
      room_version: version,
      initial_state: [{ type: 'm.room.join_rules', content: { join_rule: 'knock' } }],
    })

  it('is answered by an invite or a kick', async () => {
    const roomId = await knockRoom()
    expect(await bob.join(roomId)).toEqual(forbidden)
    expect(await bob.knock(roomId, { reason: 'let me in' })).toMatchObject({
      status: 200,
      body: { room_id: roomId },
    })
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toMatchObject({ reason: 'let me in' })
    expect((await bob.knock(roomId, { reason: 'again' })).status).toBe(200)
    expect((await alice.act('kick', roomId, bob.userId)).status).toBe(200)
    expect((await bob.knock(roomId)).status).toBe(200)
    expect((await alice.act('invite', roomId, bob.userId)).status).toBe(200)
    expect(await bob.knock(roomId)).toEqual(forbidden)
    expect((await bob.join(roomId)).status).toBe(200)
    expect(await bob.knock(roomId)).toEqual(forbidden)
  })

  it('is refused where the room does not say so, and where there is no room', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    expect(await bob.knock(roomId)).toEqual(forbidden)
    expect(await bob.knock('!nowhere:test.local')).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await bob.knock(await knockRoom('6'))).toEqual(forbidden)
  })
})

describe('a restricted room', () => {
  const restricted = (allowed: string, version: string, joinRule: string, more: JsonObject = {}) =>
    alice.createRoom({
      room_version: version,
      preset: 'private_chat',
      initial_state: [
        {
          type: 'm.room.join_rules',
          content: { join_rule: joinRule, allow: [{ type: 'm.room_membership', room_id: allowed }, 'x'] },
        },
      ],
      ...more,
    })

  it.each([
    ['8', 'restricted'],
    ['10', 'knock_restricted'],
    ['12', 'restricted'],
  ])('of version %s (%s) lets in the members of another room', async (version, joinRule) => {
    const space = await alice.createRoom({ preset: 'public_chat' })
    const roomId = await restricted(space, version, joinRule)
    expect(await bob.join(roomId)).toEqual(forbidden)
    await bob.join(space)
    expect((await bob.join(roomId)).status).toBe(200)
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toEqual(
      expect.objectContaining({ join_authorised_via_users_server: alice.userId }),
    )
    // Clients cannot say who vouches.
    const renamed = { membership: 'join', displayname: 'Bobby', join_authorised_via_users_server: 'unused' }
    expect((await bob.setState(roomId, 'm.room.member', renamed, bob.userId)).status).toBe(200)
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toEqual({
      membership: 'join',
      displayname: 'Bobby',
    })
    await bob.leave(roomId)
    await bob.leave(space)
    expect(await bob.join(roomId)).toEqual(forbidden)
    expect((await alice.act('invite', roomId, bob.userId)).status).toBe(200)
    expect((await bob.join(roomId)).status).toBe(200)
  })

  it('lets nobody in on conditions that make no sense', async () => {
    const space = await roomWithBob()
    const roomId = await restricted(space, '10', 'restricted')
    await alice.setState(roomId, 'm.room.join_rules', { join_rule: 'restricted', allow: 'invalid' })
    expect(await bob.join(roomId)).toEqual(forbidden)
  })

  it('lets nobody in when no local user may invite', async () => {
    const space = await roomWithBob()
    const roomId = await restricted(space, '10', 'restricted', {
      power_level_content_override: { invite: 101 },
    })
    expect(await bob.join(roomId)).toEqual(refusal(400, 'M_UNABLE_TO_GRANT_JOIN'))
  })

  it('is vouched for by any member where all may invite', async () => {
    const space = await roomWithBob()
    const roomId = await restricted(space, '10', 'restricted')
    await bob.join(roomId)
    await alice.leave(roomId)
    await carol.join(space)
    expect((await carol.join(roomId)).status).toBe(200)
    expect(await bob.state(roomId, 'm.room.member', carol.userId)).toMatchObject({
      join_authorised_via_users_server: bob.userId,
    })
  })
})

describe('a member event that is set as state', () => {
  it('changes memberships by the same rules', async () => {
    const roomId = await roomWithBob()
    const set = (user: RoomClient, by: RoomClient, content: JsonObject) =>
      by.setState(roomId, 'm.room.member', content, user.userId)
    expect((await set(carol, alice, { membership: 'invite' })).status).toBe(200)
    expect((await set(carol, carol, { membership: 'join', displayname: 'C' })).status).toBe(200)
    expect(await alice.state(roomId, 'm.room.member', carol.userId)).toEqual({
      membership: 'join',
      displayname: 'C',
    })
    expect((await set(bob, alice, { membership: 'ban' })).status).toBe(200)
    expect((await set(bob, alice, { membership: 'leave' })).status).toBe(200)
    expect(await set(bob, alice, { membership: 'leave' })).toEqual(forbidden)
    expect(await set(bob, alice, { membership: 'join' })).toEqual(forbidden)
    expect(await set(bob, bob, { membership: 'here' })).toEqual(refusal(400, 'M_BAD_JSON'))
    const noUser = await alice.setState(roomId, 'm.room.member', { membership: 'invite' }, 'bob')
    expect(noUser).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })
})

describe('a suspended user', () => {
  it('can leave, and redact their own events, but neither join nor send', async () => {
    const dave = await newClient(server, 'dave')
    const roomId = await roomWithBob()
    await dave.join(roomId)
    const eventId = await dave.send(roomId, { body: 'hello' })
    const aliceEvent = await alice.send(roomId, { body: 'hello' })
    const db = await server.mf.getD1Database('DB')
    await db.prepare('UPDATE users SET suspended = 1 WHERE user_id = ?').bind(dave.userId).run()
    // Sessions are remembered for a while: a new one is not.
    const user = await server.request<Record<string, string>>('POST', '/_matrix/client/v3/login', {
      body: {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: 'dave' },
        password: 'password of dave',
      },
    })
    const again = roomClient(server, { ...dave, token: user.body['access_token'] ?? '' })
    const suspended = refusal(403, 'M_USER_SUSPENDED')
    expect(await again.join(roomId)).toEqual(suspended)
    expect(await again.act('invite', roomId, carol.userId)).toEqual(suspended)
    expect(await again.inRoom('PUT', roomId, 'send/m.room.message/s1', { body: 'x' })).toEqual(suspended)
    expect(await again.redact(roomId, aliceEvent)).toEqual(suspended)
    expect((await again.redact(roomId, eventId)).status).toBe(200)
    expect((await again.leave(roomId)).status).toBe(200)
  })
})

describe('guests', () => {
  it('join only rooms that are open to them, and leave when they are closed', async () => {
    const guest = await server.request<Record<string, string>>(
      'POST',
      '/_matrix/client/v3/register?kind=guest',
      {
        body: {},
      },
    )
    const { user_id: userId = '', access_token: token = '' } = guest.body
    const join = async (roomId: string) =>
      await server.request('POST', `/_matrix/client/v3/rooms/${roomId}/join`, { token, body: {} })
    const closed = await alice.createRoom({ preset: 'public_chat' })
    expect(await join(closed)).toEqual(refusal(403, 'M_GUEST_ACCESS_FORBIDDEN'))
    const guestAccess = { type: 'm.room.guest_access', content: { guest_access: 'can_join' } }
    const open = await alice.createRoom({ preset: 'public_chat', initial_state: [guestAccess] })
    expect((await join(open)).status).toBe(200)
    await alice.setState(open, 'm.room.guest_access', { guest_access: 'forbidden' })
    expect(await alice.state(open, 'm.room.member', userId)).toMatchObject({ membership: 'leave' })
  })
})
