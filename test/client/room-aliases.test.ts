// Aliases of rooms and the published room directory.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  server = await startServer({ vars: { DEFAULT_ROOM_VERSION: '11' } })
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
})
afterAll(() => server.stop())

const forbidden = refusal(403, 'M_FORBIDDEN')

describe('an alias', () => {
  it('can be set by members, seen by anybody, and be of any letters', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const alias = '#老虎Â£я🤨👉ඞ:test.local'
    expect(await bob.setAlias(alias, roomId)).toEqual(forbidden)
    await bob.join(roomId)
    expect((await bob.setAlias(alias, roomId)).status).toBe(200)
    const path = `/_matrix/client/v3/directory/room/${encodeURIComponent(alias)}`
    expect((await server.request('GET', path)).body).toEqual({ room_id: roomId, servers: ['test.local'] })
    expect((await bob.inRoom('GET', roomId, 'aliases')).body).toEqual({ aliases: [alias] })
  })

  it('is taken once, and only where it could be one', async () => {
    const roomId = await alice.createRoom()
    expect((await alice.setAlias('#once:test.local', roomId)).status).toBe(200)
    expect(await alice.setAlias('#once:test.local', roomId)).toEqual(refusal(409, 'M_UNKNOWN'))
    for (const alias of ['once', '#:test.local', '#a b:test.local', '#once:other.org']) {
      expect(await alice.setAlias(alias, roomId)).toEqual(refusal(400, 'M_INVALID_PARAM'))
    }
    expect(await alice.setAlias('#else:test.local', 'nowhere')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await alice.setAlias('#else:test.local', '!nowhere:test.local')).toEqual(forbidden)
  })

  it('can be removed by who set it and by those with power', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    await alice.setAlias('#hers:test.local', roomId)
    await bob.setAlias('#his:test.local', roomId)
    await bob.setAlias('#his-too:test.local', roomId)
    expect(await bob.removeAlias('#hers:test.local')).toEqual(forbidden)
    expect((await bob.removeAlias('#his:test.local')).status).toBe(200)
    expect((await alice.removeAlias('#his-too:test.local')).status).toBe(200)
    expect(await alice.removeAlias('#his-too:test.local')).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it('that is removed is taken out of what the room says of itself', async () => {
    const roomId = await alice.createRoom({ room_alias_name: 'main-one' })
    await alice.setAlias('#alt-one:test.local', roomId)
    const named = { alias: '#main-one:test.local', alt_aliases: ['#alt-one:test.local'] }
    await alice.setState(roomId, 'm.room.canonical_alias', named)
    await alice.removeAlias('#alt-one:test.local')
    expect(await alice.state(roomId, 'm.room.canonical_alias')).toEqual({ alias: '#main-one:test.local' })
    await alice.removeAlias('#main-one:test.local')
    expect(await alice.state(roomId, 'm.room.canonical_alias')).toEqual({})
  })

  it('is listed to members, unless anybody may read the room', async () => {
    const roomId = await alice.createRoom({ room_alias_name: 'listed' })
    expect(await bob.inRoom('GET', roomId, 'aliases')).toEqual(forbidden)
    await alice.setState(roomId, 'm.room.history_visibility', { history_visibility: 'world_readable' })
    expect((await bob.inRoom('GET', roomId, 'aliases')).body).toEqual({ aliases: ['#listed:test.local'] })
  })
})

describe('the directory', () => {
  const search = async (body: JsonObject) => {
    const found = await alice.done('POST', '/publicRooms', body)
    return { ...found, chunk: found['chunk'] as JsonObject[] } as JsonObject & { chunk: JsonObject[] }
  }
  const ids = (chunk: readonly JsonObject[]): string[] => chunk.map((room) => textOf(room, 'room_id'))

  it('shows what a published room says of itself, also when it changes', async () => {
    const roomId = await alice.createRoom({
      visibility: 'public',
      name: 'Un nom français',
      topic: 'Wombles',
      room_alias_name: 'shown',
      creation_content: { type: 'm.space' },
    })
    const shown = async () => (await search({ filter: { generic_search_term: 'FRANÇAIS' } })).chunk
    expect(await shown()).toEqual([
      {
        room_id: roomId,
        name: 'Un nom français',
        topic: 'Wombles',
        canonical_alias: '#shown:test.local',
        join_rule: 'public',
        room_type: 'm.space',
        num_joined_members: 1,
        world_readable: false,
        guest_can_join: false,
      },
    ])
    await bob.join(roomId)
    await alice.setState(roomId, 'm.room.avatar', { url: 'mxc://test.local/a' })
    await alice.setState(roomId, 'm.room.guest_access', { guest_access: 'can_join' })
    await alice.setState(roomId, 'm.room.history_visibility', { history_visibility: 'world_readable' })
    await alice.setState(roomId, 'm.room.join_rules', { join_rule: 'knock' })
    expect(await shown()).toEqual([
      expect.objectContaining({
        avatar_url: 'mxc://test.local/a',
        num_joined_members: 2,
        world_readable: true,
        guest_can_join: true,
        join_rule: 'knock',
      }),
    ])
  })

  it('no longer shows a name that was redacted', async () => {
    const roomId = await alice.createRoom({ visibility: 'public', name: 'abusive name' })
    const filter = { generic_search_term: 'abusive' }
    expect(ids((await search({ filter })).chunk)).toEqual([roomId])
    const name = await alice.inRoom('GET', roomId, 'state/m.room.name/?format=event')
    expect((await alice.redact(roomId, textOf(name.body, 'event_id'))).status).toBe(200)
    expect(ids((await search({ filter })).chunk)).toEqual([])
  })

  it('is changed by those with the power, and read by anybody', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    await bob.join(roomId)
    const path = `/directory/list/room/${roomId}`
    const visibility = async () =>
      (await server.request('GET', `/_matrix/client/v3${path}`)).body['visibility']
    expect(await visibility()).toBe('private')
    expect(await bob.call('PUT', path, { visibility: 'public' })).toEqual(forbidden)
    await alice.done('PUT', path, {})
    expect(await visibility()).toBe('public')
    await alice.done('PUT', path, { visibility: 'private' })
    expect(await visibility()).toBe('private')
    expect(await alice.call('PUT', path, { visibility: 'hidden' })).toEqual(refusal(400, 'M_BAD_JSON'))
    const nowhere = '/directory/list/room/!nowhere:test.local'
    expect(await alice.call('PUT', nowhere, {})).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await alice.call('GET', nowhere)).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it('can be paged through in both directions', async () => {
    const rooms: string[] = []
    for (let n = 0; n < 5; n++)
      rooms.push(await alice.createRoom({ visibility: 'public', name: `paged ${n}` }))
    await bob.join(rooms[3] ?? '')
    const filter = { generic_search_term: 'paged' }
    const first = await search({ filter, limit: 2 })
    expect(first).not.toHaveProperty('prev_batch')
    expect(first['total_room_count_estimate']).toBe(5)
    // The most members first.
    expect(first.chunk[0]?.['room_id']).toBe(rooms[3])
    const second = await search({ filter, limit: 2, since: first['next_batch'] ?? '' })
    const third = await search({ filter, limit: 2, since: second['next_batch'] ?? '' })
    expect(third).not.toHaveProperty('next_batch')
    const all = [first, second, third].flatMap((page) => ids(page.chunk))
    expect(all.toSorted()).toEqual(rooms.toSorted())
    const back = await search({ filter, limit: 2, since: third['prev_batch'] ?? '' })
    expect(ids(back.chunk)).toEqual(ids(second.chunk))
    const start = await search({ filter, limit: 2, since: back['prev_batch'] ?? '' })
    expect(ids(start.chunk)).toEqual(ids(first.chunk))
    expect(start).not.toHaveProperty('prev_batch')
  })

  it('can be searched by the type of the rooms', async () => {
    const space = await alice.createRoom({
      visibility: 'public',
      name: 'typed space',
      creation_content: { type: 'm.space' },
    })
    const plain = await alice.createRoom({ visibility: 'public', name: 'typed plain' })
    const typed = async (types: (string | null)[]) =>
      ids((await search({ filter: { generic_search_term: 'typed', room_types: types } })).chunk)
    expect(await typed(['m.space'])).toEqual([space])
    expect(await typed([null])).toEqual([plain])
    expect((await typed([null, 'm.space'])).length).toBe(2)
    expect(await typed([])).toEqual([])
  })

  it('knows no rooms of other networks, all of which cannot be meant together with one', async () => {
    await alice.createRoom({ visibility: 'public', name: 'networked' })
    const filter = { generic_search_term: 'networked' }
    expect((await search({ filter, include_all_networks: true })).chunk.length).toBe(1)
    expect(await search({ filter, third_party_instance_id: 'irc' })).toEqual({
      chunk: [],
      total_room_count_estimate: 0,
    })
    const both = { filter, third_party_instance_id: 'irc', include_all_networks: true }
    expect(await alice.call('POST', '/publicRooms', both)).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })

  it('forgets rooms that all have left', async () => {
    const roomId = await alice.createRoom({ visibility: 'public', name: 'left behind' })
    const filter = { generic_search_term: 'left behind' }
    expect(ids((await search({ filter })).chunk)).toEqual([roomId])
    await alice.leave(roomId)
    expect(ids((await search({ filter })).chunk)).toEqual([])
  })

  it('refuses tokens it did not make, and to ask other servers for those who are not signed in', async () => {
    expect(await alice.call('GET', '/publicRooms?since=x')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    expect(await alice.call('GET', '/publicRooms?limit=-1')).toEqual(refusal(400, 'M_INVALID_PARAM'))
    const other = '/publicRooms?server=other.org'
    expect(await alice.call('GET', other)).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    expect(await server.request('GET', `/_matrix/client/v3${other}`)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })
})
