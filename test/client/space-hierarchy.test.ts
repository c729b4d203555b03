// Spaces of rooms that are all on one server.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer, testServerName } from '../support/server.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
})
afterAll(async () => await server.stop())

const space = { preset: 'public_chat', creation_content: { type: 'm.space' } }

async function link(parent: string, child: string, content: JsonObject = {}): Promise<void> {
  const answer = await alice.setState(parent, 'm.space.child', { via: [testServerName], ...content }, child)
  expect(answer.status).toBe(200)
}

async function hierarchy(client: RoomClient, roomId: string, query: Record<string, string> = {}) {
  const path = `/_matrix/client/v1/rooms/${encodeURIComponent(roomId)}/hierarchy?${new URLSearchParams(query).toString()}`
  return await server.request<{ rooms: JsonObject[]; next_batch?: string; errcode?: string }>('GET', path, {
    token: client.token,
  })
}

async function roomsOf(client: RoomClient, roomId: string, query: Record<string, string> = {}) {
  const { status, body } = await hierarchy(client, roomId, query)
  expect(status).toBe(200)
  return body.rooms.map((room) => room['room_id'])
}

describe('a tree of spaces', () => {
  let root: string
  let rooms: { first: string; sub: string; inner: string; deep: string; last: string }
  beforeAll(async () => {
    const [top, first, sub, inner, deep, last] = await Promise.all([
      alice.createRoom({ ...space, name: 'Root' }),
      alice.createRoom({ preset: 'public_chat', name: 'First', topic: 'About it' }),
      alice.createRoom({ ...space, name: 'Sub' }),
      alice.createRoom({ ...space, name: 'Inner' }),
      alice.createRoom({ preset: 'public_chat', name: 'Deep' }),
      alice.createRoom({ preset: 'public_chat', name: 'Last' }),
    ])
    root = top
    rooms = { first, sub, inner, deep, last }
    await link(root, last)
    await link(root, sub, { order: 'b' })
    await link(root, first, { order: 'a', suggested: true })
    await link(sub, inner)
    await link(inner, deep)
    // A loop, and a room that is there twice.
    await link(inner, root)
    await link(inner, first)
  })

  it('is walked depth first in the order of the children; no room comes twice, and loops end', async () => {
    const { first, sub, inner, deep, last } = rooms
    expect(await roomsOf(bob, root)).toEqual([root, first, sub, inner, deep, last])
  })

  it('tells of each room what the directory tells, and of a space its children', async () => {
    const { body } = await hierarchy(bob, root)
    expect(body.next_batch).toBeUndefined()
    expect(body.rooms[0]).toMatchObject({
      room_id: root,
      name: 'Root',
      room_type: 'm.space',
      room_version: '12',
    })
    expect(body.rooms[0]?.['children_state']).toEqual([
      {
        type: 'm.space.child',
        state_key: rooms.first,
        sender: alice.userId,
        content: { via: [testServerName], order: 'a', suggested: true },
        origin_server_ts: expect.any(Number),
      },
      expect.objectContaining({ state_key: rooms.sub }),
      expect.objectContaining({ state_key: rooms.last }),
    ])
    expect(body.rooms[1]).toEqual({
      room_id: rooms.first,
      name: 'First',
      topic: 'About it',
      num_joined_members: 1,
      world_readable: false,
      guest_can_join: false,
      join_rule: 'public',
      room_version: '12',
      children_state: [],
    })
  })

  it('goes as deep as it is asked to', async () => {
    expect(await roomsOf(bob, root, { max_depth: '0' })).toEqual([root])
    expect(await roomsOf(bob, root, { max_depth: '1' })).toEqual([root, rooms.first, rooms.sub, rooms.last])
    const { body } = await hierarchy(bob, root, { max_depth: '1' })
    expect(body.rooms[2]?.['children_state']).toHaveLength(1)
  })

  it('has suggested rooms alone where these are asked for', async () => {
    const { body } = await hierarchy(bob, root, { suggested_only: 'true' })
    expect(body.rooms.map((room) => room['room_id'])).toEqual([root, rooms.first])
    expect(body.rooms[0]?.['children_state']).toHaveLength(1)
  })

  it.each([1, 2, 3, 4, 5, 6])('comes the same in pages of %i', async (limit) => {
    const { first, sub, inner, deep, last } = rooms
    const walked: unknown[] = []
    let from: string | undefined
    do {
      const page = await hierarchy(bob, root, { limit: `${limit}`, ...(from === undefined ? {} : { from }) })
      expect(page.status).toBe(200)
      expect(page.body.rooms.length).toBeLessThanOrEqual(limit)
      walked.push(...page.body.rooms.map((room) => room['room_id']))
      from = page.body.next_batch
    } while (from !== undefined && walked.length < 20)
    expect(walked).toEqual([root, first, sub, inner, deep, last])
  })

  it('goes on where a page ended although that room has left the space', async () => {
    const [one, two, three, parent] = await Promise.all([
      alice.createRoom({ preset: 'public_chat' }),
      alice.createRoom({ preset: 'public_chat' }),
      alice.createRoom({ preset: 'public_chat' }),
      alice.createRoom(space),
    ])
    for (const child of [one, two, three]) await link(parent, child)
    const { body } = await hierarchy(bob, parent, { limit: '3' })
    await alice.setState(parent, 'm.space.child', {}, two)
    expect(await roomsOf(bob, parent, { from: body.next_batch ?? '' })).toEqual([three])
  })

  it('refuses a token of another question, of another room, and one that is none', async () => {
    const { body } = await hierarchy(bob, root, { limit: '1' })
    const from = body.next_batch ?? ''
    const invalid = refusal(400, 'M_INVALID_PARAM')
    expect(await hierarchy(bob, root, { from, suggested_only: 'true' })).toEqual(invalid)
    expect(await hierarchy(bob, root, { from, max_depth: '2' })).toEqual(invalid)
    expect(await hierarchy(bob, rooms.sub, { from })).toEqual(invalid)
    expect(await hierarchy(bob, root, { from: 'x' })).toEqual(invalid)
    expect(await hierarchy(bob, root, { from })).toMatchObject({ status: 200 })
  })

  it.each([
    { limit: '0' },
    { limit: 'x' },
    { limit: '-1' },
    { max_depth: '-1' },
    { suggested_only: 'maybe' },
  ])('refuses %j', async (query) => {
    expect(await hierarchy(bob, root, query as Record<string, string>)).toEqual(
      refusal(400, 'M_INVALID_PARAM'),
    )
  })
})

describe('a room of a space is shown', () => {
  const children: Record<string, string> = {}
  let root: string
  const rule = (joinRule: string, fields: JsonObject = {}) => ({
    type: 'm.room.join_rules',
    state_key: '',
    content: { join_rule: joinRule, ...fields },
  })
  beforeAll(async () => {
    root = await alice.createRoom(space)
    const allow = [{ type: 'm.room_membership', room_id: root }]
    const kinds: Record<string, JsonObject> = {
      public: { preset: 'public_chat' },
      private: { preset: 'private_chat' },
      invited: { preset: 'private_chat', invite: [bob.userId] },
      banned: { preset: 'public_chat' },
      readable: {
        preset: 'private_chat',
        initial_state: [
          {
            type: 'm.room.history_visibility',
            state_key: '',
            content: { history_visibility: 'world_readable' },
          },
        ],
      },
      knock: { initial_state: [rule('knock')] },
      oldKnock: { room_version: '6', initial_state: [rule('knock')] },
      restricted: { initial_state: [rule('restricted', { allow })] },
      oldRestricted: { room_version: '7', initial_state: [rule('restricted', { allow })] },
      knockRestricted: { initial_state: [rule('knock_restricted', { allow })] },
      elsewhere: {
        initial_state: [rule('restricted', { allow: [{ type: 'm.room_membership', room_id: '!x:y.test' }] })],
      },
    }
    for (const [name, options] of Object.entries(kinds)) {
      children[name] = await alice.createRoom(options)
      await link(root, children[name], { order: name })
    }
    await alice.act('ban', children['banned'] ?? '', bob.userId)
    await link(root, '!unknown:test.local', { order: 'z' })
  })
  const names = async (client: RoomClient) => {
    const ids = await roomsOf(client, root)
    return Object.keys(children).filter((name) => ids.includes(children[name] ?? ''))
  }

  it('to whoever could join, knock or read it', async () => {
    expect(await names(bob)).toEqual(['public', 'invited', 'readable', 'knock', 'knockRestricted'])
  })

  it('where members of another room may join, to these', async () => {
    const carol = await newClient(server, 'carol')
    expect(await names(carol)).not.toContain('restricted')
    await carol.join(root)
    expect(await names(carol)).toEqual([
      'public',
      'banned',
      'readable',
      'knock',
      'restricted',
      'knockRestricted',
    ])
  })

  it('to its members', async () => {
    expect(await names(alice)).toEqual(Object.keys(children))
  })

  it('is refused as the root to whoever may not see it, whether it exists or not', async () => {
    const refused = refusal(403, 'M_FORBIDDEN')
    const hidden = await hierarchy(bob, children['private'] ?? '')
    expect(hidden).toEqual(refused)
    expect((await hierarchy(bob, '!nobody:test.local')).body).toEqual(hidden.body)
    expect(await hierarchy(bob, children['banned'] ?? '')).toEqual(refused)
  })

  it('to guests and strangers not at all', async () => {
    expect(
      await server.request('GET', `/_matrix/client/v1/rooms/${encodeURIComponent(root)}/hierarchy`),
    ).toEqual(refusal(401, 'M_MISSING_TOKEN'))
  })
})

it('a space of 60 rooms comes in two pages, each within the 50 requests of the free plan', async () => {
  const root = await alice.createRoom(space)
  const rooms = await Promise.all(
    Array.from({ length: 60 }, () => alice.createRoom({ preset: 'public_chat' })),
  )
  for (const room of rooms) await link(root, room)
  const pages: { rooms: JsonObject[]; next_batch?: string }[] = []
  for (let from: string | undefined = ''; from !== undefined; from = pages.at(-1)?.next_batch) {
    const query: Record<string, string> = { limit: '100', ...(from === '' ? {} : { from }) }
    pages.push((await hierarchy(bob, root, query)).body)
  }
  expect(pages.map((page) => page.rooms.length)).toEqual([40, 21])
  expect(pages.flatMap((page) => page.rooms.map((room) => room['room_id']))).toEqual([root, ...rooms])
  // A room is a request, and so is the look-up of the session.
  const { mostSubrequests } = await server.report()
  expect(mostSubrequests.invocation).toMatch(/hierarchy$/)
  expect([40, 41]).toContain(mostSubrequests.subrequests)
})
