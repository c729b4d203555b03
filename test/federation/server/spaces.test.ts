// What another server is told about a space.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { askingServer } from '../../support/asking-server.ts'
import { newClient, refusal, type RoomClient } from '../../support/room-client.ts'
import { startServer, type TestServer, testServerName } from '../../support/server.ts'

let server: TestServer
let remote: Awaited<ReturnType<typeof askingServer>>
let alice: RoomClient
beforeAll(async () => {
  server = await startServer()
  remote = await askingServer(server, 'remote.test')
  alice = await newClient(server, 'alice')
})
afterAll(async () => await server.stop())

const space = { preset: 'public_chat', creation_content: { type: 'm.space' } }
const rule = (joinRule: string, fields: JsonObject = {}) => ({
  initial_state: [{ type: 'm.room.join_rules', state_key: '', content: { join_rule: joinRule, ...fields } }],
})

async function link(parent: string, child: string, content: JsonObject = {}): Promise<void> {
  const answer = await alice.setState(parent, 'm.space.child', { via: [testServerName], ...content }, child)
  expect(answer.status).toBe(200)
}

async function ask(roomId: string, query = '') {
  return await remote.ask<{ room: JsonObject; children: JsonObject[]; inaccessible_children: string[] }>(
    'GET',
    `/_matrix/federation/v1/hierarchy/${encodeURIComponent(roomId)}${query}`,
  )
}

const ids = (rooms: readonly JsonObject[]) => rooms.map((room) => room['room_id'])

describe('a server is told', () => {
  it('of one level of rooms, and which of them its users could not enter', async () => {
    const root = await alice.createRoom({ ...space, name: 'Root' })
    const sub = await alice.createRoom(space)
    const hidden = await alice.createRoom({ preset: 'private_chat' })
    const below = await alice.createRoom({ preset: 'public_chat' })
    await link(root, hidden, { order: 'a' })
    await link(root, sub, { order: 'b', suggested: true })
    await link(root, '!unknown:elsewhere.test', { order: 'c' })
    await link(sub, below)
    const { status, body } = await ask(root)
    expect(status).toBe(200)
    expect(body.room).toMatchObject({ room_id: root, name: 'Root', room_version: '12', room_type: 'm.space' })
    expect(body.room['children_state']).toMatchObject([
      { state_key: hidden },
      { state_key: sub },
      { state_key: '!unknown:elsewhere.test' },
    ])
    expect(body.children).toMatchObject([{ room_id: sub, room_type: 'm.space', num_joined_members: 1 }])
    expect(body.children).toHaveLength(1)
    expect(body.inaccessible_children).toEqual([hidden])
  })

  it('of suggested rooms alone, where it asks for these', async () => {
    const root = await alice.createRoom(space)
    const one = await alice.createRoom({ preset: 'public_chat' })
    const two = await alice.createRoom({ preset: 'public_chat' })
    await link(root, one)
    await link(root, two, { suggested: true })
    const { body } = await ask(root, '?suggested_only=true')
    expect(body.room['children_state']).toMatchObject([{ state_key: two }])
    expect(ids(body.children)).toEqual([two])
    expect(await ask(root, '?suggested_only=yes')).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })

  it('of a room that is no space without children', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await link(roomId, '!other:test.local')
    expect((await ask(roomId)).body).toMatchObject({
      room: { room_id: roomId, children_state: [] },
      children: [],
      inaccessible_children: [],
    })
  })

  it('of rooms that its members of other rooms may join', async () => {
    const root = await alice.createRoom({ ...space, room_version: '11' })
    const allow = [{ type: 'm.room_membership', room_id: root }]
    const roomId = await alice.createRoom(rule('restricted', { allow }))
    await link(root, roomId)
    expect(await ask(roomId)).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect((await ask(root)).body.inaccessible_children).toEqual([roomId])
    await remote.join(root, remote.user('rita'))
    expect((await ask(roomId)).body.room).toMatchObject({ allowed_room_ids: [root], join_rule: 'restricted' })
    expect(ids((await ask(root)).body.children)).toEqual([roomId])
  })

  it.each<[string, JsonObject]>([
    ['knock', rule('knock')],
    ['knock_restricted', rule('knock_restricted')],
    [
      'world readable',
      {
        preset: 'private_chat',
        initial_state: [
          {
            type: 'm.room.history_visibility',
            state_key: '',
            content: { history_visibility: 'world_readable' },
          },
        ],
      },
    ],
  ])('of rooms that are %s', async (_, options) => {
    const roomId = await alice.createRoom(options)
    expect((await ask(roomId)).body.room).toMatchObject({ room_id: roomId })
  })
})

describe('a server is told nothing', () => {
  it('of rooms that only the invited enter, and of those that are not here', async () => {
    const hidden = await ask(await alice.createRoom({ preset: 'private_chat' }))
    expect(hidden).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect((await ask('!nothing:test.local')).body).toEqual(hidden.body)
  })

  it('of rooms that shut it out', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    expect((await ask(roomId)).status).toBe(200)
    await alice.setState(roomId, 'm.room.server_acl', { allow: ['*'], deny: [remote.serverName] })
    expect(await ask(roomId)).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it('of rooms that this server has left', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await alice.leave(roomId)
    expect(await ask(roomId)).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it('without a signature', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const path = `/_matrix/federation/v1/hierarchy/${encodeURIComponent(roomId)}`
    expect(await server.request('GET', path)).toEqual(refusal(401, 'M_UNAUTHORIZED'))
  })
})

it('a space of 40 rooms is answered within the 50 requests of the free plan', async () => {
  const root = await alice.createRoom(space)
  const rooms = await Promise.all(
    Array.from({ length: 40 }, () => alice.createRoom({ preset: 'public_chat' })),
  )
  for (const room of rooms) await link(root, room)
  // Those that are left out can be asked for one by one.
  expect(ids((await ask(root)).body.children)).toEqual(rooms.slice(0, 32))
  const { mostSubrequests } = await server.report()
  expect(mostSubrequests.invocation).toMatch(/hierarchy/)
  expect(mostSubrequests.subrequests).toBeLessThanOrEqual(40)
})
