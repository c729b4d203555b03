// What is ephemeral, told to application services by every way it comes: users of either shard, users of another server.
// Specification: application service API, "Pushing ephemeral data"; MSC2409.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'

const authority = makeAuthority()
let bridge: TestAppservice
let plain: TestAppservice
let one: FederatedServer
let two: FederatedServer
/** Enough of them to live on both shards. */
let locals: RoomClient[]
let ann: RoomClient
let stranger: RoomClient
let dave: RoomClient
let roomId: string
let other: string

beforeAll(async () => {
  bridge = await startAppservice('bridge')
  plain = await startAppservice('plain')
  const namespaces = { users: [{ exclusive: false, regex: '@bridge_.*' }] }
  const vars = {
    PRESENCE: 'on',
    HUB_SHARDS: '2',
    ...bridge.vars({ namespaces, receive_ephemeral: true }),
    ...plain.vars({ namespaces }),
  }
  ;[one, two] = await Promise.all([
    startFederatedServer(authority, 'one.test', { vars }),
    startFederatedServer(authority, 'two.test', { vars: { PRESENCE: 'on' } }),
  ])
  locals = []
  for (let n = 0; n < 4; n += 1) locals.push(await newClient(one, `user${n}`))
  ann = await newClient(one, 'bridge_ann')
  stranger = await newClient(one, 'stranger')
  dave = await newClient(two, 'dave')
  roomId = await ann.createRoom({ preset: 'public_chat' })
  other = await stranger.createRoom({ preset: 'public_chat' })
  for (const user of [...locals, dave]) {
    await user.done('POST', `/join/${encodeURIComponent(roomId)}?via=${one.serverName}`, {})
  }
  await dave.done('POST', `/join/${encodeURIComponent(other)}?via=${one.serverName}`, {})
  await bridge.until(() => bridge.events().some((event) => event['state_key'] === dave.userId))
}, 60_000)
afterAll(async () => {
  await Promise.all([one.stop(), two.stop()])
  await Promise.all([bridge.stop(), plain.stop()])
})

const inRoom = (of: string, rest: string) => `/rooms/${encodeURIComponent(of)}/${rest}`
const types = (user: RoomClient, typing: boolean, where = roomId) =>
  user.done('PUT', inRoom(where, `typing/${encodeURIComponent(user.userId)}`), { typing })
const reads = (user: RoomClient, eventId: string, type = 'm.read', body: JsonObject = {}) =>
  user.done('POST', inRoom(roomId, `receipt/${type}/${encodeURIComponent(eventId)}`), body)
const setPresence = (user: RoomClient, body: JsonObject) =>
  user.done('PUT', `/presence/${encodeURIComponent(user.userId)}/status`, body)

const edus = (type: string) => bridge.ephemeral().filter((edu) => edu['type'] === type)
const typing = (...users: RoomClient[]) => ({
  type: 'm.typing',
  room_id: roomId,
  content: { user_ids: users.map(({ userId }) => userId) },
})
const comes = (edu: JsonObject) => bridge.until(() => bridge.ephemeral().some((found) => matches(found, edu)))
function matches(found: JsonObject, wanted: JsonObject): boolean {
  try {
    expect(found).toMatchObject(wanted)
    return true
  } catch {
    return false
  }
}

describe('MSC2409: an application service that has asked for it is told', () => {
  it('who types in its rooms, of whatever shard and server', async () => {
    const users = [...locals, dave]
    for (const [i, user] of users.entries()) {
      await types(user, true)
      await comes(typing(user))
      await types(user, false)
      // Once for each beginning and end.
      await bridge.until(() => edus('m.typing').length > 2 * i + 1)
      expect(edus('m.typing')).toHaveLength(2 * i + 2)
    }
    expect(edus('m.typing')).toEqual(users.flatMap((user) => [typing(user), typing()]))
  })

  it('how far users have read, of whatever shard and server', async () => {
    const eventId = await ann.send(roomId, { body: 'read' })
    for (const user of [...locals, dave]) {
      await waitFor(dave, eventId)
      await reads(user, eventId)
      await comes({
        type: 'm.receipt',
        room_id: roomId,
        content: { [eventId]: { 'm.read': { [user.userId]: { ts: expect.any(Number) as number } } } },
      })
    }
    const next = await ann.send(roomId, { body: 'thread' })
    await reads(locals[0] ?? ann, next, 'm.read', { thread_id: 'main' })
    await comes({
      type: 'm.receipt',
      content: { [next]: { 'm.read': { [locals[0]?.userId ?? '']: { thread_id: 'main' } } } },
    })
    expect(edus('m.receipt')).toHaveLength(locals.length + 2)
  })

  it('that of a room that its users have come to just now, where there was nothing for it before', async () => {
    for (const user of locals) {
      const fresh = await user.createRoom({ preset: 'public_chat' })
      await types(user, true, fresh)
      await ann.join(fresh)
      const eventId = await ann.send(fresh, { body: 'here I am' })
      await user.done('POST', inRoom(fresh, `receipt/m.read/${encodeURIComponent(eventId)}`), {})
      await comes({
        type: 'm.receipt',
        room_id: fresh,
        content: { [eventId]: { 'm.read': { [user.userId]: {} } } },
      })
    }
  })

  it('of private receipts those of its users alone', async () => {
    const eventId = await (locals[0] ?? ann).send(roomId, { body: 'private' })
    for (const user of [...locals, ann]) await reads(user, eventId, 'm.read.private')
    await comes({
      type: 'm.receipt',
      room_id: roomId,
      content: { [eventId]: { 'm.read.private': { [ann.userId]: {} } } },
    })
    const text = JSON.stringify(bridge.ephemeral().filter((edu) => JSON.stringify(edu).includes('private')))
    for (const { userId } of locals) expect(text).not.toContain(userId)
  })

  it('who is there of those who share a room with its users, of whatever shard and server', async () => {
    for (const user of [...locals, dave, ann]) {
      await setPresence(user, { presence: 'online', status_msg: `here: ${user.userId}` })
      await comes({
        type: 'm.presence',
        sender: user.userId,
        content: { presence: 'online', status_msg: `here: ${user.userId}`, currently_active: true },
      })
    }
    for (const user of [...locals, dave, ann]) {
      const said = edus('m.presence').filter(
        (edu) => edu['sender'] === user.userId && JSON.stringify(edu).includes('here: '),
      )
      expect(said).toHaveLength(1)
    }
  })

  it('and nothing of rooms and users that do not concern it', async () => {
    await types(stranger, true, other)
    await types(dave, true, other)
    await setPresence(stranger, { presence: 'online', status_msg: 'nobody knows me' })
    // What came later is there.
    await types(locals[0] ?? ann, true)
    await comes(typing(locals[0] ?? ann))
    const all = JSON.stringify(bridge.requests)
    expect(all).not.toContain(stranger.userId)
    expect(JSON.stringify(bridge.ephemeral())).not.toContain(other)
  })

  it('in no transaction of one that has not asked', () => {
    expect(plain.transactions().length).toBeGreaterThan(0)
    for (const { text } of plain.transactions()) expect(JSON.parse(text)).not.toHaveProperty('ephemeral')
  })
})

async function waitFor(user: RoomClient, eventId: string): Promise<void> {
  await expect.poll(async () => (await user.event(roomId, eventId)).status, { timeout: 10_000 }).toBe(200)
}

describe('memberships in rooms of other servers', () => {
  const has = (where: string) =>
    bridge.events().filter((event) => event['room_id'] === where && event['state_key'] === ann.userId)

  it('are told: an invite with what it shows of the room, and that it is taken back', async () => {
    const there = await dave.createRoom({ preset: 'private_chat', name: 'Far away' })
    await dave.done('POST', inRoom(there, 'invite'), { user_id: ann.userId, reason: 'come' })
    await bridge.until(() => has(there).length === 1)
    expect(has(there)[0]).toMatchObject({
      type: 'm.room.member',
      room_id: there,
      sender: dave.userId,
      event_id: expect.stringMatching(/^\$/) as string,
      origin_server_ts: expect.any(Number) as number,
      content: { membership: 'invite', reason: 'come' },
      unsigned: {
        age: expect.any(Number) as number,
        invite_room_state: expect.arrayContaining([
          expect.objectContaining({ type: 'm.room.create' }),
          expect.objectContaining({ type: 'm.room.name', content: { name: 'Far away' } }),
        ]) as JsonObject[],
      },
    })
    await dave.done('POST', inRoom(there, 'kick'), { user_id: ann.userId, reason: 'wrong one' })
    await bridge.until(() => has(there).length === 2)
    expect(has(there)[1]).toMatchObject({
      sender: dave.userId,
      content: { membership: 'leave', reason: 'wrong one' },
    })
  })

  it('are told: an invite that is turned down', async () => {
    const there = await dave.createRoom({ preset: 'private_chat' })
    await dave.done('POST', inRoom(there, 'invite'), { user_id: ann.userId })
    await bridge.until(() => has(there).length === 1)
    await ann.done('POST', inRoom(there, 'leave'), {})
    await bridge.until(() => has(there).length === 2)
    expect(has(there)[1]).toMatchObject({ sender: ann.userId, content: { membership: 'leave' } })
  })

  it('are told: an invite that is accepted, and what follows in the room', async () => {
    const there = await dave.createRoom({ preset: 'private_chat' })
    await dave.done('POST', inRoom(there, 'invite'), { user_id: ann.userId })
    await bridge.until(() => has(there).length === 1)
    await ann.done('POST', `/join/${encodeURIComponent(there)}?via=${two.serverName}`, {})
    const said = await dave.send(there, { body: 'welcome' })
    await bridge.until(() => bridge.events().some((event) => event['event_id'] === said))
    expect(has(there).map((event) => event['content'])).toMatchObject([
      { membership: 'invite' },
      { membership: 'join' },
    ])
  })

  it('are told: a knock with what it shows of the room, and that it is turned down', async () => {
    const there = await dave.createRoom({
      name: 'Knock here',
      initial_state: [{ type: 'm.room.join_rules', state_key: '', content: { join_rule: 'knock' } }],
    })
    await ann.done('POST', `/knock/${encodeURIComponent(there)}?via=${two.serverName}`, { reason: 'please' })
    await bridge.until(() => has(there).length === 1)
    expect(has(there)[0]).toMatchObject({
      sender: ann.userId,
      content: { membership: 'knock', reason: 'please' },
      unsigned: {
        knock_room_state: expect.arrayContaining([
          expect.objectContaining({ type: 'm.room.name', content: { name: 'Knock here' } }),
        ]) as JsonObject[],
      },
    })
    await dave.done('POST', inRoom(there, 'kick'), { user_id: ann.userId })
    await bridge.until(() => has(there).length === 2)
    expect(has(there)[1]).toMatchObject({ sender: dave.userId, content: { membership: 'leave' } })
  })

  it('of other users are not told', async () => {
    const there = await dave.createRoom({ preset: 'private_chat' })
    await dave.done('POST', inRoom(there, 'invite'), { user_id: stranger.userId })
    await dave.done('POST', inRoom(there, 'invite'), { user_id: ann.userId })
    await bridge.until(() => has(there).length === 1)
    const about = bridge.events().filter((event) => event['room_id'] === there)
    expect(about).toHaveLength(1)
  })
})
