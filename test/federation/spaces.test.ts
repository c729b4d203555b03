// Spaces whose rooms are on other servers, and summaries of such rooms.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'

const authority = makeAuthority()
let one: FederatedServer
let two: FederatedServer
let fake: FakeHomeserver
let alice: RoomClient
let aaron: RoomClient
let bob: RoomClient
beforeAll(async () => {
  ;[one, two, fake] = await Promise.all([
    startFederatedServer(authority, 'one.test'),
    startFederatedServer(authority, 'two.test'),
    startFakeHomeserver(authority, 'fake.test'),
  ])
  alice = await newClient(one, 'alice')
  aaron = await newClient(one, 'aaron')
  bob = await newClient(two, 'bob')
})
afterAll(async () => {
  await fake.stop()
  await Promise.all([one.stop(), two.stop()])
})

const space = { preset: 'public_chat', creation_content: { type: 'm.space' } }

async function link(
  client: RoomClient,
  parent: string,
  child: string,
  via: readonly string[],
  content: JsonObject = {},
) {
  const answer = await client.setState(parent, 'm.space.child', { via: [...via], ...content }, child)
  expect(answer.status).toBe(200)
}

async function hierarchy(client: RoomClient, roomId: string, query = '') {
  const path = `/_matrix/client/v1/rooms/${encodeURIComponent(roomId)}/hierarchy${query}`
  return await one.request<{ rooms: JsonObject[]; next_batch?: string }>('GET', path, { token: client.token })
}

async function summary(client: RoomClient | undefined, room: string, via: readonly string[] = []) {
  const query = via.map((server) => `via=${encodeURIComponent(server)}`).join('&')
  const path = `/_matrix/client/v1/room_summary/${encodeURIComponent(room)}?${query}`
  return await one.request('GET', path, client ? { token: client.token } : {})
}

const ids = (rooms: readonly JsonObject[]) => rooms.map((room) => room['room_id'])
const restricted = (...roomIds: string[]) => ({
  room_version: '11',
  initial_state: [
    {
      type: 'm.room.join_rules',
      state_key: '',
      content: {
        join_rule: 'restricted',
        allow: roomIds.map((roomId) => ({ type: 'm.room_membership', room_id: roomId })),
      },
    },
  ],
})

describe('between two of our servers', () => {
  it('a space is walked wherever its rooms are', async () => {
    const root = await alice.createRoom(space)
    const local = await alice.createRoom({ preset: 'public_chat', name: 'here' })
    const sub = await bob.createRoom({ ...space, name: 'there' })
    const below = await bob.createRoom({ preset: 'public_chat', name: 'below' })
    const hidden = await bob.createRoom({ preset: 'private_chat' })
    await link(alice, root, sub, [two.serverName], { order: 'a' })
    await link(alice, root, local, [one.serverName], { order: 'b' })
    await link(bob, sub, hidden, [two.serverName], { order: 'a' })
    await link(bob, sub, below, [two.serverName], { order: 'b' })
    await link(bob, sub, local, [one.serverName], { order: 'c' })
    await link(bob, sub, root, [one.serverName], { order: 'd' })
    const { body } = await hierarchy(alice, root)
    expect(body.rooms).toMatchObject([
      { room_id: root },
      { room_id: sub, name: 'there', room_type: 'm.space', join_rule: 'public', num_joined_members: 1 },
      { room_id: below, name: 'below', children_state: [] },
      { room_id: local, name: 'here' },
    ])
    expect(body.rooms).toHaveLength(4)
    expect(body.rooms[1]?.['children_state']).toMatchObject([
      { state_key: hidden },
      { state_key: below },
      { state_key: local },
      { state_key: root },
    ])
    // In pages it is the same.
    const first = await hierarchy(alice, root, '?limit=2')
    const second = await hierarchy(alice, root, `?limit=2&from=${first.body.next_batch}`)
    expect([...first.body.rooms, ...second.body.rooms]).toEqual(body.rooms)
  })

  it('members of a space see the rooms elsewhere that are open to them', async () => {
    const root = await alice.createRoom({ ...space, room_version: '11' })
    const roomId = await bob.createRoom(restricted(root))
    await link(alice, root, roomId, [two.serverName])
    // The other server does not know who is in the space.
    expect(ids((await hierarchy(alice, root)).body.rooms)).toEqual([root])
    await bob.done('POST', `/join/${encodeURIComponent(root)}?via=${one.serverName}`, {})
    expect(ids((await hierarchy(alice, root)).body.rooms)).toEqual([root, roomId])
    expect(ids((await hierarchy(aaron, root)).body.rooms)).toEqual([root])
    expect((await summary(alice, roomId, [two.serverName])).body).toMatchObject({
      room_id: roomId,
      allowed_room_ids: [root],
      membership: 'leave',
    })
    expect(await summary(aaron, roomId, [two.serverName])).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it('who is invited to a room sees what it is, and its space', async () => {
    const roomId = await bob.createRoom({
      preset: 'private_chat',
      name: 'Secret',
      creation_content: { type: 'm.space' },
      room_version: '12',
    })
    expect(await summary(alice, roomId, [two.serverName])).toEqual(refusal(404, 'M_NOT_FOUND'))
    await bob.act('invite', roomId, alice.userId)
    // Neither does the id name a server nor the client.
    expect((await summary(alice, roomId)).body).toMatchObject({ name: 'Secret', membership: 'invite' })
    expect((await hierarchy(alice, roomId)).body.rooms).toMatchObject([{ room_id: roomId }])
    expect(await summary(aaron, roomId, [two.serverName])).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await hierarchy(aaron, roomId)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  it('an alias of the other server leads to a summary, also of somebody who is not signed in', async () => {
    const roomId = await bob.createRoom({
      preset: 'public_chat',
      room_alias_name: 'open',
      name: 'Open',
      topic: 'x',
    })
    const alias = `#open:${two.serverName}`
    const expected = {
      room_id: roomId,
      name: 'Open',
      topic: 'x',
      canonical_alias: alias,
      join_rule: 'public',
      room_version: '12',
      num_joined_members: 1,
      guest_can_join: false,
      world_readable: false,
    }
    expect((await summary(undefined, alias)).body).toEqual(expected)
    expect((await summary(alice, alias)).body).toEqual({ ...expected, membership: 'leave' })
  })
})

describe('a server that is made up', () => {
  let made = 0
  let root: string
  let child: string
  beforeEach(async () => {
    made += 1
    root = await alice.createRoom(space)
    child = `!child${made}:${fake.serverName}`
    await link(alice, root, child, [fake.serverName])
  })
  const answers = (roomId: string, body: JsonObject, status?: number) =>
    fake.answer(`/_matrix/federation/v1/hierarchy/${encodeURIComponent(roomId)}`, () => body, status)
  const asked = (roomId: string) =>
    fake.requests.filter((request) => request.includes(encodeURIComponent(roomId)))
  const described = (roomId: string, fields: JsonObject = {}): JsonObject => ({
    room_id: roomId,
    num_joined_members: 3,
    world_readable: false,
    guest_can_join: false,
    join_rule: 'public',
    ...fields,
  })
  const alone = (room: JsonObject): JsonObject => ({ room, children: [], inaccessible_children: [] })

  it('is asked once a minute for one level', async () => {
    answers(child, alone(described(child, { name: 'Child' })))
    expect((await hierarchy(alice, root)).body.rooms[1]).toEqual({
      ...described(child, { name: 'Child' }),
      children_state: [],
    })
    await hierarchy(aaron, root)
    expect(asked(child)).toEqual([
      `GET /_matrix/federation/v1/hierarchy/${encodeURIComponent(child)}?suggested_only=false`,
    ])
  })

  it('cannot say more than the specification lets it, nor speak for another room', async () => {
    const state = {
      type: 'm.space.child',
      state_key: '!below:fake.test',
      sender: '@x:fake.test',
      content: { via: ['fake.test'] },
    }
    answers(
      child,
      alone(
        described(child, {
          room_type: 'm.space',
          num_joined_members: -3,
          name: ['no text'],
          evil: true,
          canonical_alias: 'no alias',
          allowed_room_ids: ['no room', 3],
          children_state: [
            { ...state, origin_server_ts: 'yesterday' },
            { ...state, origin_server_ts: 1, type: 'm.room.name' },
            { ...state, origin_server_ts: 1, content: {} },
            'none',
          ],
        }),
      ),
    )
    expect((await hierarchy(alice, root)).body.rooms[1]).toEqual({
      room_id: child,
      num_joined_members: 0,
      world_readable: false,
      guest_can_join: false,
      join_rule: 'public',
      room_type: 'm.space',
      children_state: [],
    })
    const other = await alice.createRoom(space)
    const wrong = `!wrong:${fake.serverName}`
    await link(alice, other, wrong, [fake.serverName])
    answers(wrong, alone(described(child)))
    expect(ids((await hierarchy(alice, other)).body.rooms)).toEqual([other])
  })

  it.each<[string, JsonObject]>([
    ['only the invited may join', { join_rule: 'invite' }],
    ['the join rule is unknown', { join_rule: 'magic' }],
    ['members of other rooms may join', { join_rule: 'restricted', allowed_room_ids: ['!x:fake.test'] }],
  ])('does not open rooms where %s', async (_, fields) => {
    answers(child, alone(described(child, fields)))
    expect(ids((await hierarchy(alice, root)).body.rooms)).toEqual([root])
    expect(await summary(alice, child)).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it.each<[string, JsonObject]>([
    ['no join rule', {}],
    ['a world readable history', { join_rule: 'invite', world_readable: true }],
    ['a rule to knock', { join_rule: 'knock_restricted' }],
  ])('opens rooms with %s', async (_, fields) => {
    const { join_rule: __, ...without } = described(child)
    answers(child, alone({ ...without, ...fields }))
    expect(ids((await hierarchy(alice, root)).body.rooms)).toEqual([root, child])
    expect((await summary(undefined, child)).status).toBe(200)
  })

  it('is believed about what nobody can enter, except where we know better', async () => {
    const local = await alice.createRoom({ preset: 'public_chat' })
    const [open, closed] = [`!open${made}:${fake.serverName}`, `!closed${made}:${fake.serverName}`]
    const event = (roomId: string) => ({
      type: 'm.space.child',
      state_key: roomId,
      sender: `@x:${fake.serverName}`,
      content: { via: [fake.serverName], order: roomId },
      origin_server_ts: 1,
    })
    const room = described(child, {
      room_type: 'm.space',
      children_state: [local, open, closed].map(event),
    })
    answers(child, {
      room,
      children: [described(open), described(local, { name: 'not its name' })],
      inaccessible_children: [closed],
    })
    const { body } = await hierarchy(alice, root)
    expect(new Set(ids(body.rooms))).toEqual(new Set([root, child, open, local]))
    expect(body.rooms.find((one) => one['room_id'] === local)).not.toHaveProperty('name')
    expect([open, closed].flatMap(asked)).toEqual([])
  })

  it('makes a page end early rather than ask too much of one request', async () => {
    const many = Array.from({ length: 12 }, (_, i) => `!many${made}-${i}:${fake.serverName}`)
    const parent = await alice.createRoom(space)
    for (const roomId of many) {
      answers(roomId, { errcode: 'M_NOT_FOUND' }, 404)
      await link(alice, parent, roomId, [fake.serverName])
    }
    const last = await alice.createRoom({ preset: 'public_chat' })
    await link(alice, parent, last, [one.serverName])
    const rooms: unknown[] = []
    let from: string | undefined
    let pages = 0
    do {
      const page = await hierarchy(alice, parent, from === undefined ? '' : `?from=${from}`)
      rooms.push(...ids(page.body.rooms))
      from = page.body.next_batch
      pages += 1
    } while (from !== undefined && pages < 20)
    expect(rooms).toEqual([parent, last])
    expect(pages).toBeGreaterThan(1)
    // No room was asked for twice, although a page does not say which could not be found.
    expect(many.flatMap(asked)).toHaveLength(12)
  })
})
