// Two servers of ours, which talk over TLS: their users come into each other's rooms and go again.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { textOf } from '../support/text-of.ts'

const authority = makeAuthority()
let one: FederatedServer
let two: FederatedServer
let alice: RoomClient
let bob: RoomClient
let carol: RoomClient
beforeAll(async () => {
  ;[one, two] = await Promise.all([
    startFederatedServer(authority, 'one.test'),
    // Two shards, so that users are told where they live.
    startFederatedServer(authority, 'two.test', { vars: { HUB_SHARDS: '2' } }),
  ])
  alice = await newClient(one, 'alice')
  bob = await newClient(two, 'bob')
  carol = await newClient(two, 'carol')
})
afterAll(() => Promise.all([one.stop(), two.stop()]))

interface SyncedRoom {
  readonly timeline?: { readonly events: JsonObject[] }
  readonly state?: { readonly events: JsonObject[] }
  readonly invite_state?: { readonly events: JsonObject[] }
  readonly knock_state?: { readonly events: JsonObject[] }
}
type Section = 'join' | 'invite' | 'knock' | 'leave'

/** What an initial sync shows of a room in a section. */
async function synced(user: RoomClient, section: Section, roomId: string): Promise<SyncedRoom | undefined> {
  const filter = encodeURIComponent(JSON.stringify({ room: { include_leave: true } }))
  const { rooms } = (await user.done('GET', `/sync?timeout=0&filter=${filter}`)) as {
    rooms?: Record<Section, Record<string, SyncedRoom> | undefined>
  }
  return rooms?.[section]?.[roomId]
}

/** Waits until an initial sync shows what is asked for. */
async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    const found = await look()
    if (found !== undefined) return found
    if (tries > 100) throw new Error('it never came')
    await new Promise((passed) => setTimeout(passed, 50))
  }
}

const membership = async (viewer: RoomClient, roomId: string, user: RoomClient) =>
  (await viewer.state(roomId, 'm.room.member', user.userId))?.['membership']

/** Waits until a viewer sees a membership. */
const sees = (viewer: RoomClient, roomId: string, user: RoomClient, expected: string) =>
  eventually(async () => ((await membership(viewer, roomId, user)) === expected ? true : undefined))

const via = (server: FederatedServer) => `via=${encodeURIComponent(server.serverName)}`
const joinVia = (user: RoomClient, roomId: string, server: FederatedServer, body: JsonObject = {}) =>
  user.call('POST', `/join/${encodeURIComponent(roomId)}?${via(server)}`, body)

/** The whole state of a room as a member sees it, as `type|state key → event id`. */
async function stateIds(user: RoomClient, roomId: string): Promise<Record<string, unknown>> {
  const answer = await user.inRoom('GET', roomId, 'state')
  expect(answer.status).toBe(200)
  const events = answer.body as unknown as JsonObject[]
  return Object.fromEntries(
    events.map((event) => [`${textOf(event, 'type')}|${textOf(event, 'state_key')}`, event['event_id']]),
  )
}

/** The ids of all events that a user can page back to. */
async function allMessages(user: RoomClient, roomId: string): Promise<unknown[]> {
  const found: unknown[] = []
  for (let from: unknown = ''; typeof from === 'string';) {
    const start = from === '' ? '' : `&from=${encodeURIComponent(from)}`
    const path = `/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=20${start}`
    const { chunk, end } = await user.done('GET', path)
    found.push(...(chunk as JsonObject[]).map((event) => event['event_id']))
    from = end
  }
  return found
}

describe.each(['1', '10', '11', '12'])('a room of version %s on the other server', (version) => {
  const create = (options: JsonObject = {}) => alice.createRoom({ room_version: version, ...options })

  it('is joined by its alias, with its whole state', async () => {
    const alias = `open-${version}`
    const roomId = await create({ preset: 'public_chat', name: 'Open', room_alias_name: alias })
    const before = await alice.send(roomId, { body: 'before' })
    const answer = await bob.join(`#${alias}:${one.serverName}`, { reason: 'curious' })
    expect(answer).toMatchObject({ status: 200, body: { room_id: roomId } })
    const room = await synced(bob, 'join', roomId)
    expect(room?.timeline?.events).toMatchObject([{ type: 'm.room.member', sender: bob.userId }])
    expect(room?.state?.events).toContainEqual(
      expect.objectContaining({ type: 'm.room.name', content: { name: 'Open' } }),
    )
    expect(await stateIds(bob, roomId)).toEqual(await stateIds(alice, roomId))
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toEqual({
      membership: 'join',
      reason: 'curious',
    })
    expect(await allMessages(bob, roomId)).toContain(before)
  })

  it('carries messages both ways once it was joined', async () => {
    const roomId = await create({ preset: 'public_chat' })
    expect((await joinVia(bob, roomId, one)).status).toBe(200)
    const hello = await alice.send(roomId, { body: 'hello' })
    await eventually(async () => ((await bob.event(roomId, hello)).status === 200 ? true : undefined))
    const reply = await bob.send(roomId, { body: 'hi' })
    await eventually(async () => ((await alice.event(roomId, reply)).status === 200 ? true : undefined))
  })

  it('is joined by a second user without asking again', async () => {
    const roomId = await create({ preset: 'public_chat' })
    const answers = await Promise.all([
      joinVia(bob, roomId, one),
      joinVia(carol, roomId, one),
      joinVia(bob, roomId, one),
    ])
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    await sees(alice, roomId, carol, 'join')
    for (const user of [bob, carol]) expect(await synced(user, 'join', roomId)).toBeDefined()
  })

  it('is closed to those who were not invited', async () => {
    const roomId = await create({ preset: 'private_chat' })
    expect(await joinVia(bob, roomId, one)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await synced(bob, 'join', roomId)).toBeUndefined()
  })

  it('is joined by invite, left, and joined again', async () => {
    const roomId = await create({ preset: 'private_chat', name: 'Ours' })
    expect(await alice.act('invite', roomId, bob.userId, { reason: 'come' })).toMatchObject({ status: 200 })
    const shown = await synced(bob, 'invite', roomId)
    expect(shown?.invite_state?.events).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ type: 'm.room.create' }),
        expect.objectContaining({ type: 'm.room.name', content: { name: 'Ours' } }),
        expect.objectContaining({ type: 'm.room.member', state_key: bob.userId, sender: alice.userId }),
      ]),
    )
    // Nobody says where the room is but the invite.
    expect((await bob.inRoom('POST', roomId, 'join', {})).status).toBe(200)
    expect(await stateIds(bob, roomId)).toEqual(await stateIds(alice, roomId))
    expect((await bob.leave(roomId)).status).toBe(200)
    await sees(alice, roomId, bob, 'leave')
    await alice.setState(roomId, 'm.room.topic', { topic: 'while you were away' })
    expect(await joinVia(bob, roomId, one)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect((await alice.act('invite', roomId, bob.userId)).status).toBe(200)
    expect((await bob.join(roomId)).status).toBe(200)
    expect(await stateIds(bob, roomId)).toEqual(await stateIds(alice, roomId))
    expect((await synced(bob, 'join', roomId))?.state?.events).toContainEqual(
      expect.objectContaining({ type: 'm.room.topic', content: { topic: 'while you were away' } }),
    )
  })

  it('is for two, who have the same power in it', async () => {
    const roomId = await create({ preset: 'trusted_private_chat', is_direct: true, invite: [bob.userId] })
    const shown = await synced(bob, 'invite', roomId)
    expect(shown?.invite_state?.events).toContainEqual(
      expect.objectContaining({ state_key: bob.userId, content: { is_direct: true, membership: 'invite' } }),
    )
    expect((await bob.join(roomId)).status).toBe(200)
    expect(
      (await bob.setState(roomId, 'm.room.history_visibility', { history_visibility: 'joined' })).status,
    ).toBe(200)
  })

  it('is not joined by invite, which is turned down', async () => {
    const roomId = await create({ preset: 'private_chat', invite: [bob.userId] })
    expect(await synced(bob, 'invite', roomId)).toBeDefined()
    expect((await bob.leave(roomId, { reason: 'no' })).status).toBe(200)
    expect(await synced(bob, 'invite', roomId)).toBeUndefined()
    expect(await membership(alice, roomId, bob)).toBe('leave')
    expect((await bob.leave(roomId)).status).toBe(200)
  })

  it('is not there for those who were never in it', async () => {
    const roomId = await create()
    expect(await bob.leave(roomId)).toEqual(refusal(403, 'M_FORBIDDEN'))
    const other = roomId.replace(/^.{8}/, '!nowhere')
    expect(await joinVia(bob, other, one)).toEqual(refusal(404, 'M_NOT_FOUND'))
  })
})

describe.each(['10', '11', '12'])('a room of version %s', (version) => {
  const create = (options: JsonObject = {}) => alice.createRoom({ room_version: version, ...options })
  const state = (type: string, content: JsonObject) => ({ type, state_key: '', content })

  it('is knocked on, and the knock is taken back', async () => {
    const roomId = await create({
      name: 'Closed',
      initial_state: [state('m.room.join_rules', { join_rule: 'knock' })],
    })
    const knock = (user: RoomClient) =>
      user.call('POST', `/knock/${encodeURIComponent(roomId)}?${via(one)}`, { reason: 'please' })
    expect(await knock(bob)).toMatchObject({ status: 200, body: { room_id: roomId } })
    expect((await synced(bob, 'knock', roomId))?.knock_state?.events).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ type: 'm.room.name', content: { name: 'Closed' } }),
        expect.objectContaining({ type: 'm.room.member', state_key: bob.userId }),
      ]),
    )
    expect(await alice.state(roomId, 'm.room.member', bob.userId)).toMatchObject({
      membership: 'knock',
      reason: 'please',
    })
    expect((await bob.leave(roomId)).status).toBe(200)
    expect(await membership(alice, roomId, bob)).toBe('leave')
    expect(await synced(bob, 'knock', roomId)).toBeUndefined()
    expect((await knock(bob)).status).toBe(200)
    expect((await alice.act('invite', roomId, bob.userId)).status).toBe(200)
    expect((await bob.join(roomId)).status).toBe(200)
    expect((await knock(carol)).status).toBe(200)
    await sees(alice, roomId, carol, 'knock')
  })

  it('that is restricted lets in the members of another one, whoever can vouch for them', async () => {
    const space = await create({ preset: 'public_chat' })
    const roomId = await create({
      preset: 'private_chat',
      power_level_content_override: { invite: 50 },
      initial_state: [
        state('m.room.join_rules', {
          join_rule: 'restricted',
          allow: [{ type: 'm.room_membership', room_id: space }],
        }),
      ],
    })
    expect(await joinVia(bob, roomId, one)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect((await joinVia(bob, space, one)).status).toBe(200)
    expect((await joinVia(bob, roomId, one)).status).toBe(200)
    expect(await bob.state(roomId, 'm.room.member', bob.userId)).toMatchObject({
      join_authorised_via_users_server: alice.userId,
    })
    // The second server is in the room now, but nobody of it may invite.
    expect(await joinVia(carol, roomId, one)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect((await joinVia(carol, space, one)).status).toBe(200)
    // The first server may not know yet that carol is in the space.
    expect((await joinVia(carol, roomId, one)).status).toBe(200)
    expect(await synced(carol, 'join', roomId)).toBeDefined()
    await sees(alice, roomId, carol, 'join')
  })
})

describe('a room that all users of a server have left', () => {
  const makeJoin = (from: FederatedServer, to: FederatedServer, roomId: string) =>
    from.request('POST', '/__call', {
      body: {
        destination: to.serverName,
        method: 'GET',
        path: `/_matrix/federation/v1/make_join/${encodeURIComponent(roomId)}/${encodeURIComponent(`@x:${from.serverName}`)}?ver=12`,
        timeoutMs: 5000,
      },
    })

  it('is helped into by that server no more', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    expect((await joinVia(bob, roomId, one)).status).toBe(200)
    expect((await makeJoin(one, two, roomId)).body).toMatchObject({ status: 200 })
    expect((await bob.leave(roomId)).status).toBe(200)
    expect((await makeJoin(one, two, roomId)).body).toMatchObject({
      status: 404,
      body: { errcode: 'M_NOT_FOUND' },
    })
    expect((await bob.leave(roomId)).status).toBe(200)
  })

  it('is entered by what its other servers say now, not by what was known of it', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    expect((await joinVia(bob, roomId, one)).status).toBe(200)
    expect((await bob.leave(roomId)).status).toBe(200)
    await sees(alice, roomId, bob, 'leave')
    // Who was in it then is asked, although nobody names a server now.
    expect((await carol.join(roomId)).status).toBe(200)
    expect((await carol.leave(roomId)).status).toBe(200)
    await sees(alice, roomId, carol, 'leave')
    // Who names a server means that one.
    const nobody = `/join/${encodeURIComponent(roomId)}?via=127.0.0.1:1`
    expect(await carol.call('POST', nobody, {})).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    await alice.setState(roomId, 'm.room.join_rules', { join_rule: 'invite' })
    expect(await carol.join(roomId)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect((await alice.act('ban', roomId, carol.userId)).status).toBe(200)
    expect(await carol.join(roomId)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })
})

describe('a user of the other server', () => {
  it('is kicked and banned without being asked', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    expect((await joinVia(bob, roomId, one)).status).toBe(200)
    expect((await alice.act('ban', roomId, bob.userId)).status).toBe(200)
    await eventually(() => synced(bob, 'leave', roomId))
    expect(await joinVia(bob, roomId, one)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect((await alice.act('unban', roomId, bob.userId)).status).toBe(200)
    expect((await joinVia(bob, roomId, one)).status).toBe(200)
  })

  it('who does not exist, or wants no invites, cannot be invited', async () => {
    const roomId = await alice.createRoom()
    expect(await alice.act('invite', roomId, `@nobody:${two.serverName}`)).toEqual(
      refusal(403, 'M_FORBIDDEN'),
    )
    const config = `/user/${encodeURIComponent(carol.userId)}/account_data/m.invite_permission_config`
    await carol.done('PUT', config, { default_action: 'block' })
    expect(await alice.act('invite', roomId, carol.userId)).toEqual(refusal(403, 'M_INVITE_BLOCKED'))
    await carol.done('PUT', config, {})
    expect((await alice.act('invite', roomId, carol.userId)).status).toBe(200)
    expect(await bob.act('invite', roomId, carol.userId)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  it('has a profile', async () => {
    await bob.done('PUT', `/profile/${encodeURIComponent(bob.userId)}/displayname`, { displayname: 'Bob' })
    const path = `/profile/${encodeURIComponent(bob.userId)}`
    expect(await alice.call('GET', path)).toMatchObject({ status: 200, body: { displayname: 'Bob' } })
    expect(await alice.call('GET', `${path}/displayname`)).toMatchObject({ body: { displayname: 'Bob' } })
    const anonymous = await one.request('GET', `/_matrix/client/v3${path}`)
    expect(anonymous).toMatchObject({ status: 200, body: { displayname: 'Bob' } })
    const nobody = `/profile/${encodeURIComponent(`@nobody:${two.serverName}`)}`
    expect(await alice.call('GET', nobody)).toEqual(refusal(404, 'M_NOT_FOUND'))
  })
})

describe('a server that cannot be reached', () => {
  const gone = 'gone.test:1'

  it('is named where a room was to be joined through it', async () => {
    const answer = await bob.call('POST', `/join/${encodeURIComponent(`!room:${gone}`)}`, {})
    expect(answer).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    expect(answer.body['error']).toContain(gone)
    expect(await bob.join(`#alias:${gone}`)).toEqual(refusal(502, 'M_CONNECTION_FAILED'))
    expect(await bob.join('!somewhere-of-nobody')).toEqual(refusal(400, 'M_INVALID_PARAM'))
  })

  it('does not matter where another one helps', async () => {
    const roomId = await alice.createRoom({ preset: 'public_chat' })
    const path = `/join/${encodeURIComponent(roomId)}?via=${gone}&${via(one)}`
    expect((await bob.call('POST', path, {})).status).toBe(200)
  })

  it('keeps nobody from turning an invite down', async () => {
    const roomId = await alice.createRoom({ invite: [bob.userId] })
    expect(await synced(bob, 'invite', roomId)).toBeDefined()
    const three = await startFederatedServer(authority, 'three.test')
    const dave = await newClient(three, 'dave')
    const theirs = await dave.createRoom({ invite: [bob.userId] })
    await three.stop()
    expect((await bob.leave(theirs)).status).toBe(200)
    expect(await synced(bob, 'invite', theirs)).toBeUndefined()
    expect(await synced(bob, 'leave', theirs)).toBeDefined()
  })
})

it('names a room by an alias of the other server only if that leads there', async () => {
  const [here, there] = [await alice.createRoom({ preset: 'public_chat' }), await alice.createRoom()]
  expect((await joinVia(bob, here, one)).status).toBe(200)
  await alice.setState(here, 'm.room.power_levels', { users: { [bob.userId]: 100 } })
  const set = (alias: string) => bob.setState(here, 'm.room.canonical_alias', { alias })
  await eventually(async () => ((await set('')).status === 200 ? true : undefined))
  expect((await alice.setAlias(`#leads-here:${one.serverName}`, here)).status).toBe(200)
  expect((await alice.setAlias(`#leads-there:${one.serverName}`, there)).status).toBe(200)
  expect((await set(`#leads-here:${one.serverName}`)).status).toBe(200)
  expect(await set(`#leads-there:${one.serverName}`)).toEqual(refusal(400, 'M_BAD_ALIAS'))
  expect(await set(`#nothing:${one.serverName}`)).toEqual(refusal(400, 'M_BAD_ALIAS'))
  expect(await bob.aliasTarget(`#leads-here:${one.serverName}`)).toMatchObject({
    status: 200,
    body: { room_id: here, servers: expect.arrayContaining([one.serverName, two.serverName]) as string[] },
  })
})

it('lists the rooms that another server publishes', async () => {
  const roomId = await alice.createRoom({ visibility: 'public', name: 'Listed' })
  const list = await bob.done('GET', `/publicRooms?server=${one.serverName}&limit=50`)
  expect(list['chunk']).toContainEqual(expect.objectContaining({ room_id: roomId, name: 'Listed' }))
  const body = { filter: { generic_search_term: 'Listed' } }
  const search = await bob.done('POST', `/publicRooms?server=${one.serverName}`, body)
  expect(search['chunk']).toMatchObject([{ room_id: roomId }])
  expect(await bob.call('GET', '/publicRooms?server=a%20b')).toEqual(refusal(400, 'M_INVALID_PARAM'))
})

it('refuses rooms that are too large, and takes the join back', async () => {
  const small = await startFederatedServer(authority, 'small.test', { vars: { MAX_JOIN_STATE_EVENTS: '3' } })
  const erin = await newClient(small, 'erin')
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  expect(await joinVia(erin, roomId, one)).toEqual(refusal(400, 'M_RESOURCE_LIMIT_EXCEEDED'))
  expect(await membership(alice, roomId, erin)).toBe('leave')
  expect(await synced(erin, 'join', roomId)).toBeUndefined()
  await small.stop()
})
