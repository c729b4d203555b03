// Users and rooms that an application service makes when somebody wants them. Application service API, "Querying".

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { queryAppservice } from '../../src/appservice/query.ts'
import { refusedQueries } from '../../src/appservice/refused-queries.ts'
import { parseRegistration } from '../../src/appservice/registration.ts'
import type { ServerName } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { roomVersion } from '../../src/matrix/room-version.ts'
import { unwatchedFetch } from '../contract/watch-fetch.ts'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'
import { type AskingServer, askingServer, federation } from '../support/asking-server.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let bridge: TestAppservice
let server: TestServer
let alice: RoomClient
let roomId: string
let remote: AskingServer
beforeAll(async () => {
  bridge = await startAppservice('bridge')
  const spaces = (sigil: string) => [{ exclusive: false, regex: `${sigil}bridge_.*` }]
  server = await startServer({
    vars: bridge.vars({ namespaces: { users: spaces('@'), aliases: spaces('#') } }),
  })
  alice = await newClient(server, 'alice')
  roomId = await alice.createRoom({ preset: 'public_chat' })
  remote = await askingServer(server, 'remote.test')
})
beforeEach(() => {
  bridge.reply = () => undefined
})
afterEach(() => {
  queries()
})
afterAll(async () => {
  await server.stop()
  await bridge.stop()
})

/** What was asked since the last time, but for transactions. */
function queries(): string[] {
  const paths = bridge.requests.map(({ path }) => path).filter((path) => /\/(users|rooms)\//.test(path))
  bridge.requests.length = 0
  return paths
}

/** Has the application service make what it is asked for, and say so then. */
function makeOnDemand(): void {
  bridge.reply = async ({ path }) => {
    const [, kind, localpart = ''] = /^\/_matrix\/app\/v1\/(users|rooms)\/.(.+):test\.local$/.exec(path) ?? []
    if (kind === 'users') await server.register(localpart)
    else if (kind === 'rooms') await alice.setAlias(`#${localpart}:test.local`, roomId)
    else return undefined
    return { status: 200, body: {} }
  }
}

const user = (name: string) => `@bridge_${name}:test.local`
const alias = (name: string) => `#bridge_${name}:test.local`
const askedForUser = (name: string) => `/_matrix/app/v1/users/${user(name)}`
const askedForRoom = (name: string) => `/_matrix/app/v1/rooms/${alias(name)}`
const byServer = async (path: string, query: Record<string, string>) =>
  await remote.ask('GET', `${federation}/v1/query/${path}?${new URLSearchParams(query).toString()}`)

async function inviteFromElsewhere(userId: string) {
  const rules = roomVersion('10')
  if (!rules) throw new Error('room version 10 is known')
  const invite = remote.sign(rules, {
    type: 'm.room.member',
    room_id: '!elsewhere:remote.test',
    sender: '@rita:remote.test',
    state_key: userId,
    content: { membership: 'invite' },
    origin_server_ts: Date.now(),
    depth: 5,
    auth_events: [],
    prev_events: [],
  })
  const path = `${federation}/v2/invite/!elsewhere:remote.test/${encodeURIComponent(invite.eventId)}`
  return await remote.ask('PUT', path, { room_version: '10', event: invite.pdu, invite_room_state: [] })
}

describe('a user in the namespace of an application service, whom nobody knows,', () => {
  it('is made while whoever invites them waits', async () => {
    makeOnDemand()
    expect((await alice.act('invite', roomId, user('invited'))).status).toBe(200)
    expect(queries()).toEqual([askedForUser('invited')])
    expect(await alice.state(roomId, 'm.room.member', user('invited'))).toMatchObject({
      membership: 'invite',
    })
    // From then on nobody asks.
    await alice.done('GET', `/profile/${user('invited')}`)
    expect(queries()).toEqual([])
  })

  it('is made for a new room', async () => {
    makeOnDemand()
    await alice.createRoom({ invite: [user('new1'), user('new2')] })
    expect(queries().toSorted()).toEqual([askedForUser('new1'), askedForUser('new2')])
  })

  it('is made for those who look at their profile, here or elsewhere', async () => {
    makeOnDemand()
    expect((await alice.call('GET', `/profile/${user('seen')}`)).status).toBe(200)
    expect((await byServer('profile', { user_id: user('seen2') })).status).toBe(200)
    expect(queries()).toEqual([askedForUser('seen'), askedForUser('seen2')])
  })

  it('is made when another server invites them', async () => {
    makeOnDemand()
    expect((await inviteFromElsewhere(user('abroad'))).status).toBe(200)
    bridge.reply = () => undefined
    expect(await inviteFromElsewhere(user('nowhere'))).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(queries()).toEqual([askedForUser('abroad'), askedForUser('nowhere')])
  })

  it('is not there where the application service says so, which is asked once in a while', async () => {
    expect(await alice.act('invite', roomId, user('no'))).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(queries()).toEqual([askedForUser('no')])
    expect(await alice.act('invite', roomId, user('no'))).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(await alice.call('POST', '/createRoom', { invite: [user('no')] })).toEqual(
      refusal(404, 'M_NOT_FOUND'),
    )
    expect(queries()).toEqual([])
  })

  it('is not there where it says yes and makes nobody', async () => {
    bridge.reply = () => ({ status: 200 })
    expect(await alice.act('invite', roomId, user('promised'))).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(queries()).toEqual([askedForUser('promised')])
  })

  it('cannot be invited where it does not answer, though it is asked several times', async () => {
    bridge.reply = () => 'drop'
    expect(await alice.act('invite', roomId, user('silent'))).toEqual(refusal(408, 'M_CONNECTION_TIMEOUT'))
    expect(queries()).toEqual([1, 2, 3].map(() => askedForUser('silent')))
    // For a moment nobody else waits for it.
    expect(await alice.act('invite', roomId, user('silent'))).toEqual(refusal(408, 'M_CONNECTION_TIMEOUT'))
    expect(queries()).toEqual([])
  })

  it('is asked for once by many at once', async () => {
    makeOnDemand()
    const answers = await Promise.all([1, 2, 3, 4].map(() => alice.call('GET', `/profile/${user('many')}`)))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    expect(queries()).toEqual([askedForUser('many')])
  })

  it('is not asked for when they are gone for good', async () => {
    const gone = await server.register('bridge_gone')
    const db = await server.mf.getD1Database('DB')
    await db.prepare('UPDATE users SET deactivated_at = 1 WHERE user_id = ?').bind(gone.userId).run()
    expect(await alice.act('invite', roomId, gone.userId)).toEqual(refusal(404, 'M_NOT_FOUND'))
    expect(queries()).toEqual([])
  })
})

describe('a room in the namespace of an application service, whose alias nobody has set,', () => {
  it('is made for those who join it, look at it, or ask for its alias', async () => {
    makeOnDemand()
    const bob = await newClient(server, 'bob')
    expect((await bob.join(alias('joined'))).body).toEqual({ room_id: roomId })
    expect((await bob.aliasTarget(alias('target'))).body).toMatchObject({ room_id: roomId })
    expect(
      (await bob.call('GET', `/../v1/room_summary/${encodeURIComponent(alias('summary'))}`)).status,
    ).toBe(200)
    expect((await byServer('directory', { room_alias: alias('elsewhere') })).body).toMatchObject({
      room_id: roomId,
    })
    expect(queries()).toEqual(['joined', 'target', 'summary', 'elsewhere'].map(askedForRoom))
    await bob.aliasTarget(alias('joined'))
    expect(queries()).toEqual([])
  })

  it('is not there where it says so or does not answer', async () => {
    expect(await alice.join(alias('no'))).toEqual(refusal(404, 'M_NOT_FOUND'))
    bridge.reply = () => ({ status: 503 })
    expect(await alice.join(alias('silent'))).toEqual(refusal(408, 'M_CONNECTION_TIMEOUT'))
  })
})

describe('an application service is not asked', () => {
  const quiet = async (answer: Promise<unknown>, expected: unknown) => {
    expect(await answer).toEqual(expected)
    expect(queries()).toEqual([])
  }

  it('for what is outside of its namespaces', async () => {
    await quiet(alice.act('invite', roomId, '@nobody:test.local'), refusal(404, 'M_NOT_FOUND'))
    await quiet(alice.call('GET', '/profile/@nobody:test.local'), refusal(404, 'M_NOT_FOUND'))
    await quiet(alice.join('#nothing:test.local'), refusal(404, 'M_NOT_FOUND'))
    // Its own user is none in its namespace, and there without being asked for.
    expect((await alice.call('GET', `/profile/@_bridge_bot:test.local`)).status).toBe(200)
    expect(queries()).toEqual([])
  })

  it('for users and aliases of other servers that its expressions match', async () => {
    const elsewhere = await alice.call('GET', `/profile/${encodeURIComponent('@bridge_a:elsewhere.test')}`)
    expect(elsewhere.status).toBe(502)
    await alice.aliasTarget('#bridge_a:elsewhere.test')
    await byServer('profile', { user_id: '@bridge_a:elsewhere.test' })
    await byServer('directory', { room_alias: '#bridge_a:elsewhere.test' })
    expect(queries()).toEqual([])
  })

  it('for those who have no account, or a guest’s', async () => {
    const guest = await server.request('POST', '/_matrix/client/v3/register?kind=guest', { body: {} })
    for (const token of [undefined, textOf(guest.body, 'access_token')]) {
      const options = token === undefined ? {} : { token }
      const get = (path: string) => server.request('GET', `/_matrix/client/v3${path}`, options)
      await quiet(get(`/profile/${user('unseen')}`), refusal(404, 'M_NOT_FOUND'))
      await quiet(get(`/directory/room/${encodeURIComponent(alias('unseen'))}`), refusal(404, 'M_NOT_FOUND'))
    }
  })
})

it('a question is asked again after no answer, and not after one', async () => {
  // What application services answer here is no answer of ours.
  const tried = vi.fn(unwatchedFetch)
  vi.stubGlobal('fetch', tried)
  const appservice = parseRegistration(
    'APPSERVICE_BRIDGE',
    JSON.stringify(bridge.registration()),
    'test.local' as ServerName,
  )
  const ask = (timeoutMs = 10_000) =>
    queryAppservice(appservice, askedForUser('x'), { timeoutMs, pausesMs: [1, 1] })
  bridge.reply = () => 'hang'
  expect(await ask(50)).toBe('silent')
  expect(tried).toHaveBeenCalledTimes(3)
  let tries = 0
  bridge.reply = () => ((tries += 1) < 3 ? 'drop' : { status: 200 })
  expect(await ask()).toBe('yes')
  bridge.reply = () => ({ status: 403 })
  expect(await ask()).toBe('no')
  vi.unstubAllGlobals()
})

it('refusals are forgotten after half a minute, silence after a few seconds', () => {
  let now = 0
  const refused = refusedQueries(() => now)
  refused.remember('a', 'no')
  refused.remember('b', 'silent')
  expect([refused.outcome('a'), refused.outcome('b'), refused.outcome('c')]).toEqual([
    'no',
    'silent',
    undefined,
  ])
  now = 5_000
  expect([refused.outcome('a'), refused.outcome('b')]).toEqual(['no', undefined])
  now = 30_000
  expect(refused.outcome('a')).toBeUndefined()
})

describe('an application service whose namespaces are its own alone', () => {
  let owner: TestAppservice
  let home: TestServer
  let bob: RoomClient
  beforeAll(async () => {
    owner = await startAppservice('irc')
    const space = (sigil: string) => [{ exclusive: true, regex: `${sigil}_irc_.*` }]
    home = await startServer({ vars: owner.vars({ namespaces: { users: space('@'), aliases: space('#') } }) })
    bob = await newClient(home, 'bob')
  })
  afterAll(async () => {
    await home.stop()
    await owner.stop()
  })
  const api = '/_matrix/client/v3'
  const byOwner = (method: string, path: string, body?: JsonObject) =>
    home.request(method, `${api}${path}`, { token: owner.asToken, ...(body && { body }) })
  const makeUser = (username: string) =>
    byOwner('POST', '/register', { type: 'm.login.application_service', username, inhibit_login: true })
  const isAskedFor = (path: string) => owner.requests.filter((one) => one.path === path).length

  it('makes users and rooms with its own token while it is asked for them', async () => {
    owner.reply = async ({ path }) => {
      const [, kind, localpart = ''] = /\/v1\/(users|rooms)\/.(.+):test\.local$/.exec(path) ?? []
      if (kind === 'users') return { status: (await makeUser(localpart)).status }
      if (kind !== 'rooms') return undefined
      // It looks whether the room is there already, and is not asked that by itself.
      const target = encodeURIComponent(`#${localpart}:test.local`)
      expect(await byOwner('GET', `/directory/room/${target}`)).toEqual(refusal(404, 'M_NOT_FOUND'))
      const made = await byOwner('POST', '/createRoom', { room_alias_name: localpart, preset: 'public_chat' })
      return { status: made.status }
    }
    const ownRoom = await bob.createRoom({ invite: ['@_irc_carol:test.local'] })
    expect(await bob.state(ownRoom, 'm.room.member', '@_irc_carol:test.local')).toMatchObject({
      membership: 'invite',
    })
    expect((await bob.join('#_irc_channel:test.local')).status).toBe(200)
    expect(isAskedFor('/_matrix/app/v1/rooms/#_irc_channel:test.local')).toBe(1)
  })

  it('does not wait for itself when it wants whom it is asked for', async () => {
    const dave = '@_irc_dave:test.local'
    const roomId = textOf((await byOwner('POST', '/createRoom', {})).body, 'room_id')
    const invite = () => byOwner('POST', `/rooms/${encodeURIComponent(roomId)}/invite`, { user_id: dave })
    const profile = () => byOwner('GET', `/profile/${dave}`)
    let inHandler: unknown[] = []
    owner.reply = async ({ path }) => {
      if (!path.endsWith(dave)) return undefined
      inHandler = [await profile(), await invite()]
      return { status: (await makeUser('_irc_dave')).status }
    }
    expect((await bob.call('GET', `/profile/${dave}`)).status).toBe(200)
    expect(inHandler).toEqual([refusal(404, 'M_NOT_FOUND'), refusal(404, 'M_NOT_FOUND')])
    expect((await invite()).status).toBe(200)
    expect(isAskedFor(`/_matrix/app/v1/users/${dave}`)).toBe(1)
  })

  it('is asked for users whom its own users invite', async () => {
    const erin = '@_irc_erin:test.local'
    owner.reply = async ({ path }) =>
      path.endsWith(erin) ? { status: (await makeUser('_irc_erin')).status } : undefined
    expect((await byOwner('POST', '/createRoom', { invite: [erin] })).status).toBe(200)
    expect(isAskedFor(`/_matrix/app/v1/users/${erin}`)).toBe(1)
  })
})
