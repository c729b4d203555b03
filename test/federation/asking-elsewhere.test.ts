// What clients ask of users and rooms of other servers: their profiles, who they are, and through whom a room is joined.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { asTokenOf, registered } from '../support/acting-client.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'

const authority = makeAuthority()
let one: FederatedServer
let two: FederatedServer
let fake: FakeHomeserver
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  ;[one, two, fake] = await Promise.all([
    startFederatedServer(authority, 'one.test', { vars: registered('irc') }),
    startFederatedServer(authority, 'two.test'),
    startFakeHomeserver(authority, 'fake.test'),
  ])
  alice = await newClient(one, 'alice')
  bob = await newClient(two, 'bob')
})
afterAll(async () => {
  await fake.stop()
  await Promise.all([one.stop(), two.stop()])
})

it('the rooms of another server are asked for without a word on who asks', async () => {
  fake.answer('/_matrix/federation/v1/publicRooms', () => ({ chunk: [] }))
  const query = new URLSearchParams({
    server: fake.serverName,
    limit: '3',
    access_token: asTokenOf('irc'),
    user_id: `@_irc_bot:${one.serverName}`,
    'org.example.other': 'x',
  })
  const answer = await one.request('GET', `/_matrix/client/v3/publicRooms?${query.toString()}`)
  expect(answer).toMatchObject({ status: 200, body: { chunk: [] } })
  expect(fake.requests.at(-1)).toBe('GET /_matrix/federation/v1/publicRooms?limit=3')
})

describe('the profile of a user of another server', () => {
  const of = (userId: string, key = '') =>
    alice.call('GET', `/profile/${encodeURIComponent(userId)}${key && `/${key}`}`)

  it('MSC4133: has all fields, each to be asked for by its name, null among their values', async () => {
    const fields = { displayname: 'Bob', 'm.tz': 'Asia/Tokyo', 'org.example.none': null }
    for (const [key, value] of Object.entries(fields)) {
      await bob.done('PUT', `/profile/${bob.userId}/${key}`, { [key]: value })
    }
    expect(await of(bob.userId)).toMatchObject({ status: 200, body: fields })
    expect((await of(bob.userId, 'm.tz')).body).toEqual({ 'm.tz': 'Asia/Tokyo' })
    expect((await of(bob.userId, 'org.example.none')).body).toEqual({ 'org.example.none': null })
    expect(await of(bob.userId, 'org.example.other')).toEqual(refusal(404, 'M_NOT_FOUND'))
  })

  it('MSC4133: is kept for a while, which is no day', async () => {
    const user = `@kept:${fake.serverName}`
    fake.answer('/_matrix/federation/v1/query/profile', () => ({ displayname: 'Kept', avatar_url: null }))
    const asked = () => fake.requests.filter((request) => request.includes('%40kept')).length
    expect((await of(user)).body).toEqual({ displayname: 'Kept' })
    expect((await of(user, 'displayname')).body).toEqual({ displayname: 'Kept' })
    expect(asked()).toBe(1)
  })

  it('MSC4170: is asked of that server, whose refusal is passed on', async () => {
    const user = (name: string) => `@${name}:${fake.serverName}`
    const path = '/_matrix/federation/v1/query/profile'
    fake.answer(path, () => ({ errcode: 'M_FORBIDDEN', error: 'No' }), 403)
    expect(await of(user('shy'))).toEqual(refusal(403, 'M_FORBIDDEN'))
    fake.answer(path, () => ({ errcode: 'M_NOT_FOUND', error: 'No' }), 404)
    expect(await of(user('nobody'))).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await of(`@nobody:${two.serverName}`)).toEqual(refusal(404, 'M_NOT_FOUND'))
  })
})

describe('a room of another server is joined', () => {
  const query = (parameters: [string, string][]) => new URLSearchParams(parameters).toString()

  it.each(['via', 'org.matrix.msc4156.via'])(
    'MSC4156: through servers that are named as %s',
    async (name) => {
      const carol = await newClient(one, `carol-${name.length}`)
      const roomId = await bob.createRoom({ preset: 'public_chat' })
      const both: [string, string][] = [
        [name, 'gone.test'],
        [name, two.serverName],
      ]
      const answer = await carol.call('POST', `/join/${encodeURIComponent(roomId)}?${query(both)}`, {})
      expect(answer).toMatchObject({ status: 200, body: { room_id: roomId } })
    },
  )

  it('MSC4156: through those alone, where there are others under the former name', async () => {
    const dave = await newClient(one, 'dave')
    const [roomId, other] = [
      await bob.createRoom({ preset: 'public_chat' }),
      await bob.createRoom({
        initial_state: [{ type: 'm.room.join_rules', content: { join_rule: 'knock' } }],
      }),
    ]
    const mixed = query([
      ['via', fake.serverName],
      ['server_name', two.serverName],
    ])
    const joining = await dave.call('POST', `/join/${encodeURIComponent(roomId)}?${mixed}`, {})
    expect(joining.status).not.toBe(200)
    expect(fake.requests.some((request) => request.includes(`make_join/${encodeURIComponent(roomId)}`))).toBe(
      true,
    )
    const knocking = await dave.call('POST', `/knock/${encodeURIComponent(other)}?${mixed}`, {})
    expect(knocking.status).not.toBe(200)
  })

  it('MSC4213: through those of the former name where there is nothing else', async () => {
    const erin = await newClient(one, 'erin')
    const roomId = await bob.createRoom({ preset: 'public_chat' })
    const former = query([['server_name', two.serverName]])
    const answer = await erin.call('POST', `/join/${encodeURIComponent(roomId)}?${former}`, {})
    expect(answer).toMatchObject({ status: 200, body: { room_id: roomId } })
  })
})

describe('the user directory', () => {
  const search = async (who: RoomClient, term: string, limit = 10) => {
    const { results, limited } = await who.done('POST', '/user_directory/search', {
      search_term: term,
      limit,
    })
    return { results, limited }
  }
  const named = (user: RoomClient, displayname: string) =>
    user.done('PUT', `/profile/${user.userId}/displayname`, { displayname })

  it('has users of other servers who are in a room with the searcher, by id and by what they are called there', async () => {
    const [grace, heidi, stranger] = await Promise.all([
      newClient(two, 'grace'),
      newClient(one, 'heidi'),
      newClient(one, 'stranger'),
    ])
    await named(grace, 'Grâce Hopper')
    const roomId = await grace.createRoom()
    expect((await search(heidi, 'hopper')).results).toEqual([])
    await grace.act('invite', roomId, heidi.userId)
    await expect.poll(async () => (await heidi.join(roomId)).status).toBe(200)
    const found = [{ user_id: grace.userId, display_name: 'Grâce Hopper' }]
    for (const term of ['hopper', 'GRÂCE', 'grac', grace.userId, `hop gr`]) {
      expect(await search(heidi, term), term).toEqual({ results: found, limited: false })
    }
    expect((await search(heidi, 'two.test')).results).toEqual([])
    expect((await search(stranger, 'hopper')).results).toEqual([])
    // What they are called changes, and so does who is there.
    await named(grace, 'Amazing')
    const renamed = [{ user_id: grace.userId, display_name: 'Amazing' }]
    await expect.poll(async () => (await search(heidi, 'amazing')).results).toEqual(renamed)
    expect((await search(heidi, 'hopper')).results).toEqual([])
    await grace.leave(roomId)
    await expect.poll(async () => (await search(heidi, 'amazing')).results).toEqual([])
  })

  it('has those in rooms that are open to all for everybody, after the users of this server', async () => {
    const [judy, judith, stranger] = await Promise.all([
      newClient(two, 'judy'),
      newClient(one, 'judith'),
      newClient(one, 'somebody'),
    ])
    const roomId = await judith.createRoom({ preset: 'public_chat', visibility: 'public' })
    expect((await judy.join(roomId)).status).not.toBe(200)
    const joined = await judy.call(
      'POST',
      `/join/${encodeURIComponent(roomId)}?via=${encodeURIComponent(one.serverName)}`,
      {},
    )
    expect(joined.status).toBe(200)
    const ids = async (limit: number) => {
      const { results, limited } = await search(stranger, 'jud', limit)
      return [(results as { user_id: string }[]).map((result) => result.user_id), limited]
    }
    await expect.poll(() => ids(10)).toEqual([[judith.userId, judy.userId], false])
    expect(await ids(1)).toEqual([[judith.userId], true])
    expect(await ids(2)).toEqual([[judith.userId, judy.userId], false])
  })
})
