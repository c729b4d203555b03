// What accounts do to rooms and syncs: a new name is told to rooms, a deactivated user leaves, account data arrives.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RoomId, UserId } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { type Account, startServer, type TestServer } from '../support/server.ts'

const api = '/_matrix/client/v3'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

interface SyncBody {
  next_batch: string
  account_data?: { events: JsonObject[] }
  rooms?: JsonObject
}

async function sync(account: Account, query: Record<string, string> = {}) {
  return await server.request<SyncBody>('GET', `${api}/sync?${new URLSearchParams(query).toString()}`, {
    token: account.token,
  })
}

async function roomOf(creator: Account, localpart: string): Promise<RoomId> {
  const roomId = `!${localpart}:test.local` as RoomId
  const userId = creator.userId as UserId
  const room = await server.room(roomId)
  await room.createRoom({
    roomId,
    roomVersion: '11',
    creator: userId,
    creatorProfile: {},
    create: { content: { room_version: '11' } },
    preset: 'public_chat',
    powerLevelContentOverride: {},
    initialState: [],
    invite: [],
    isDirect: false,
    published: false,
    localUsers: [{ userId, shard: 0 }],
  })
  return roomId
}

async function memberOf(roomId: RoomId, reader: Account, userId = reader.userId) {
  const path = `${api}/rooms/${roomId}/state/m.room.member/${userId}`
  return (await server.request('GET', path, { token: reader.token })).body
}

describe('a profile change', () => {
  it('is told to the rooms of the user before the answer', async () => {
    const alice = await server.register('alice')
    const rooms = [await roomOf(alice, 'profile-one'), await roomOf(alice, 'profile-two')]
    const set = (key: string, value: string) =>
      server.request('PUT', `${api}/profile/${alice.userId}/${key}`, {
        token: alice.token,
        body: { [key]: value },
      })
    expect((await set('displayname', 'Alice')).status).toBe(200)
    expect((await set('avatar_url', 'mxc://test.local/avatar')).status).toBe(200)
    for (const roomId of rooms) {
      expect(await memberOf(roomId, alice)).toEqual({
        membership: 'join',
        displayname: 'Alice',
        avatar_url: 'mxc://test.local/avatar',
      })
    }
    await server.request('DELETE', `${api}/profile/${alice.userId}/displayname`, { token: alice.token })
    expect(await memberOf('!profile-one:test.local' as RoomId, alice)).not.toHaveProperty('displayname')
    // Other fields are no business of rooms.
    const before = (await sync(alice)).body.next_batch
    expect((await set('m.tz', 'Europe/London')).status).toBe(200)
    expect((await sync(alice, { since: before })).body).not.toHaveProperty('rooms')
  })
})

describe('deactivation', () => {
  it('leaves all rooms', async () => {
    const bob = await server.register('bob')
    const carol = await server.register('carol')
    const roomId = await roomOf(bob, 'left')
    const room = await server.room(roomId)
    const userId = carol.userId as UserId
    await room.changeMembership({
      action: 'join',
      sender: userId,
      target: userId,
      content: {},
      targetShard: 0,
    })
    expect(await memberOf(roomId, bob, userId)).toEqual({ membership: 'join' })
    const auth = { type: 'm.login.password', user: 'carol', password: 'password of carol' }
    const answer = await server.request('POST', `${api}/account/deactivate`, {
      token: carol.token,
      body: { auth },
    })
    expect(answer.status).toBe(200)
    expect(await memberOf(roomId, bob, carol.userId)).toEqual({ membership: 'leave' })
  })
})

describe('account data in a sync', () => {
  const put = (account: Account, path: string, body: JsonObject) =>
    server.request('PUT', `${api}/user/${account.userId}/${path}`, { token: account.token, body })

  it('comes whole at first, with push rules, and then as it changes', async () => {
    const dave = await server.register('dave')
    await put(dave, 'account_data/one', { n: 1 })
    const first = (await sync(dave)).body
    expect(first.account_data?.events.map(({ type }) => type)).toEqual(['m.push_rules', 'one'])
    expect((await sync(dave, { since: first.next_batch })).body).not.toHaveProperty('account_data')
    await put(dave, 'account_data/two', { n: 2 })
    await put(dave, 'account_data/one', { n: 1 })
    const second = (await sync(dave, { since: first.next_batch })).body
    expect(second.account_data?.events).toEqual([
      { type: 'two', content: { n: 2 } },
      { type: 'one', content: { n: 1 } },
    ])
  })

  it('wakes a waiting sync, as tags do', async () => {
    const erin = await server.register('erin')
    const roomId = await roomOf(erin, 'tagged')
    const start = (await sync(erin)).body.next_batch
    const waiting = sync(erin, { since: start, timeout: '20000' })
    await put(erin, `rooms/${roomId}/tags/u.work`, { order: 0.5 })
    const woken = (await waiting).body
    expect(woken.rooms).toMatchObject({
      join: {
        [roomId]: {
          account_data: { events: [{ type: 'm.tag', content: { tags: { 'u.work': { order: 0.5 } } } }] },
        },
      },
    })
  })
})
