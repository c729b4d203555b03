// Accounts, devices and aliases of application services.
// Specification: application service API, "Server admin style permissions", "Device management", "Cross-signing".

import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { actingClient, asTokenOf, registered, registerGhost } from '../support/acting-client.ts'
import { signingKeys } from '../support/device-keys.ts'
import { newClient, refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const appserviceLogin = 'm.login.application_service'
const secret = 'shared secret of registration'

let open: TestServer
let closed: TestServer
let alice: RoomClient
beforeAll(async () => {
  const ofBridges = {
    ...registered('irc', { rate_limited: false }),
    ...registered('xmpp'),
    // Looks after everybody, and keeps nobody from anything.
    ...registered('puppet', {
      namespaces: {
        users: [{ exclusive: false, regex: '@.*' }],
        aliases: [{ exclusive: false, regex: '#.*' }],
      },
    }),
  }
  open = await startServer({ vars: { ...ofBridges, REGISTRATION_SHARED_SECRET: secret } })
  // With limits, terms, and no registration at all.
  closed = await startServer({
    vars: {
      ...ofBridges,
      REGISTRATION: 'closed',
      RATE_LIMITS: 'on',
      TERMS_POLICIES: JSON.stringify({
        privacy: { version: '1', en: { name: 'Privacy', url: 'https://test.local/privacy' } },
      }),
    },
  })
  alice = await newClient(open, 'alice')
})
afterAll(async () => {
  await open.stop()
  await closed.stop()
})

const register = (server: TestServer, body: Record<string, string | boolean>, token?: string) =>
  server.request('POST', '/_matrix/client/v3/register', {
    body: { type: appserviceLogin, ...body },
    ...(token === undefined ? {} : { token }),
  })

const login = (server: TestServer, user: string, token?: string, fields = {}) =>
  server.request('POST', '/_matrix/client/v3/login', {
    body: { type: appserviceLogin, identifier: { type: 'm.id.user', user }, ...fields },
    ...(token === undefined ? {} : { token }),
  })

describe.each([
  ['is open', () => open],
  ['is closed', () => closed],
])('where registration %s', (_, server) => {
  it('MSC4190: a user is registered without authentication, and without being logged in', async () => {
    const answer = await register(server(), { username: '_irc_new', inhibit_login: true }, asTokenOf('irc'))
    expect(answer).toMatchObject({ status: 200, body: { user_id: '@_irc_new:test.local' } })
    expect(answer.body).not.toHaveProperty('access_token')
    expect(await register(server(), { username: '_irc_new' }, asTokenOf('irc'))).toEqual(
      refusal(400, 'M_USER_IN_USE'),
    )
  })

  it('a user is registered and logged in', async () => {
    const { status, body } = await register(
      server(),
      { username: '_irc_here', device_id: 'BRIDGE', initial_device_display_name: 'bridge' },
      asTokenOf('irc'),
    )
    expect(status).toBe(200)
    const account = {
      userId: '@_irc_here:test.local',
      deviceId: 'BRIDGE',
      token: textOf(body, 'access_token'),
    }
    expect(body).toMatchObject({ user_id: account.userId, device_id: account.deviceId })
    const ghost = roomClient(server(), account)
    expect(await ghost.done('GET', '/account/whoami')).toEqual({
      user_id: account.userId,
      device_id: account.deviceId,
    })
  })

  it.each([
    ['without a token', undefined, 'M_MISSING_TOKEN'],
    ['with a token of nobody', 'nobodys', 'M_UNKNOWN_TOKEN'],
  ])('%s, nobody is registered or logged in', async (__, token, errcode) => {
    expect(await register(server(), { username: '_irc_x' }, token)).toEqual(refusal(401, errcode))
    expect(await login(server(), '_irc_new', token)).toEqual(refusal(401, errcode))
  })

  it.each([
    ['outside of the namespace', '_xmpp_x', 'M_EXCLUSIVE'],
    ['of another application service', '_xmpp_bot', 'M_EXCLUSIVE'],
    ['of nobody', 'someone', 'M_EXCLUSIVE'],
    ['that is none', '_irc_ NO', 'M_INVALID_USERNAME'],
    ['that leaves ASCII', '_irc_bøb', 'M_INVALID_USERNAME'],
    ['that ends early', '_irc_b:test.local', 'M_INVALID_USERNAME'],
  ])('refuses a user name %s', async (__, username, errcode) => {
    expect(await register(server(), { username }, asTokenOf('irc'))).toEqual(refusal(400, errcode))
  })

  it('a user has the name of the other network, also where that is of the historical grammar', async () => {
    const irc = asTokenOf('irc')
    for (const username of ['_irc_Bob', '_irc_[Bob]|a/w?#%41']) {
      const userId = `@${username}:test.local`
      expect(await register(server(), { username, inhibit_login: true }, irc)).toMatchObject({
        status: 200,
        body: { user_id: userId },
      })
      const { body } = await login(server(), username, irc)
      expect(body).toMatchObject({ user_id: userId })
      const ghost = actingClient(server(), 'irc', { user_id: userId })
      expect(await ghost.done('GET', '/account/whoami')).toMatchObject({ user_id: userId })
      const path = `/profile/${encodeURIComponent(userId)}/displayname`
      await ghost.done('PUT', path, { displayname: 'Bob' })
      expect(await ghost.done('GET', path)).toEqual({ displayname: 'Bob' })
      await ghost.send(await ghost.createRoom(), { body: 'hello' })
    }
    // Each is another one than that in lower case.
    expect(await login(server(), '_irc_bob', irc)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  it('refuses a registration without a user name', async () => {
    expect(await register(server(), {}, asTokenOf('irc'))).toEqual(refusal(400, 'M_MISSING_PARAM'))
  })

  it('logs its users in, and its sender', async () => {
    await registerGhost(server(), 'irc', 'login')
    for (const user of ['_irc_login', '@_irc_login:test.local']) {
      const { status, body } = await login(server(), user, asTokenOf('irc'), { device_id: 'LOGIN' })
      expect(status).toBe(200)
      expect(body).toMatchObject({ user_id: '@_irc_login:test.local', device_id: 'LOGIN' })
    }
    await actingClient(server(), 'irc').done('GET', '/account/whoami')
    expect(await login(server(), '_irc_bot', asTokenOf('irc'))).toMatchObject({ status: 200 })
  })

  it('refuses logins of those who are not in the namespace, or not registered', async () => {
    expect(await login(server(), '_xmpp_bot', asTokenOf('irc'))).toEqual(refusal(400, 'M_EXCLUSIVE'))
    expect(await login(server(), 'alice', asTokenOf('irc'))).toEqual(refusal(400, 'M_EXCLUSIVE'))
    expect(await login(server(), '_irc_nobody', asTokenOf('irc'))).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  it('says that application services may log in', async () => {
    const { body } = await server().request('GET', '/_matrix/client/v3/login')
    expect(body['flows']).toContainEqual({ type: appserviceLogin })
  })
})

it('where there are no application services, nobody is told of such a login', async () => {
  const server = await startServer()
  const { body } = await server.request('GET', '/_matrix/client/v3/login')
  expect(JSON.stringify(body)).not.toContain(appserviceLogin)
  expect(await register(server, { username: 'x' }, 'token')).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
  await server.stop()
})

describe('what is in an exclusive namespace', () => {
  it('is not registered by users', async () => {
    for (const username of ['_irc_taken', '_irc_bot']) {
      const body = { username, password: 'a good password', auth: { type: 'm.login.dummy' } }
      expect(await open.request('POST', '/_matrix/client/v3/register', { body })).toEqual(
        refusal(400, 'M_EXCLUSIVE'),
      )
      expect(await open.request('GET', `/_matrix/client/v3/register/available?username=${username}`)).toEqual(
        refusal(400, 'M_EXCLUSIVE'),
      )
    }
  })

  it('is not registered by who knows the shared secret, nor for guests and those without a name', async () => {
    const path = '/_synapse/admin/v1/register'
    const { body } = await open.request('GET', path)
    const nonce = textOf(body, 'nonce')
    const [username, password] = ['_irc_shared', 'a good password']
    const signed = [nonce, username, password, 'notadmin'].join('\0')
    const mac = createHmac('sha1', secret).update(signed).digest('hex')
    expect(await open.request('POST', path, { body: { nonce, username, password, mac } })).toEqual(
      refusal(400, 'M_EXCLUSIVE'),
    )
    const greedy = await startServer({
      vars: registered('greedy', { namespaces: { users: [{ exclusive: true, regex: '@.*' }] } }),
    })
    const register3 = (query: string, fields: JsonObject) =>
      greedy.request('POST', `/_matrix/client/v3/register${query}`, { body: fields })
    expect(await register3('?kind=guest', {})).toEqual(refusal(400, 'M_EXCLUSIVE'))
    expect(await register3('', { password, auth: { type: 'm.login.dummy' } })).toEqual(
      refusal(400, 'M_EXCLUSIVE'),
    )
    await greedy.stop()
  })

  it('is not registered by another application service, though that looks after it as well', async () => {
    expect(await register(open, { username: '_irc_puppet' }, asTokenOf('puppet'))).toEqual(
      refusal(400, 'M_EXCLUSIVE'),
    )
    expect(await register(open, { username: 'puppet-user' }, asTokenOf('puppet'))).toMatchObject({
      status: 200,
    })
  })

  it('is no alias that others make or remove', async () => {
    const room = await alice.createRoom()
    const [mine, foreign] = ['#_irc_mine:test.local', '#_irc_foreign:test.local']
    const irc = actingClient(open, 'irc')
    const ofBot = await irc.createRoom()
    expect((await irc.setAlias(mine, ofBot)).status).toBe(200)
    const xmpp = actingClient(open, 'xmpp')
    const puppeteer = actingClient(open, 'puppet', { user_id: alice.userId })
    for (const other of [alice, xmpp, puppeteer]) {
      expect(await other.setAlias(foreign, room)).toEqual(refusal(400, 'M_EXCLUSIVE'))
      expect(await other.removeAlias(mine)).toEqual(refusal(400, 'M_EXCLUSIVE'))
      expect(await other.call('POST', '/createRoom', { room_alias_name: '_irc_room' })).toEqual(
        refusal(400, 'M_EXCLUSIVE'),
      )
    }
    expect((await irc.aliasTarget(mine)).status).toBe(200)
    expect(
      await irc.call('POST', '/createRoom', { room_alias_name: '_irc_room', preset: 'public_chat' }),
    ).toMatchObject({ status: 200 })
  })
})

describe('aliases', () => {
  it('outside of its namespace are not made by an application service', async () => {
    const irc = actingClient(open, 'irc')
    const room = await irc.createRoom()
    expect(await irc.setAlias('#elsewhere:test.local', room)).toEqual(refusal(400, 'M_EXCLUSIVE'))
    expect(await irc.call('POST', '/createRoom', { room_alias_name: 'elsewhere' })).toEqual(
      refusal(400, 'M_EXCLUSIVE'),
    )
  })

  it('in its namespace are removed by an application service, whoever made them', async () => {
    const room = await alice.createRoom()
    const puppeteer = actingClient(open, 'puppet')
    const [one, two] = ['#of-alice:test.local', '#of-alice-too:test.local']
    await alice.setAlias(one, room)
    await alice.setAlias(two, room)
    expect((await puppeteer.removeAlias(one)).status).toBe(200)
    // Others need power or to have made it.
    expect(await actingClient(open, 'irc').removeAlias(two)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect((await alice.aliasTarget(two)).status).toBe(200)
  })
})

describe('MSC4190: devices', () => {
  it('are made by PUT, with a name, once; and used', async () => {
    const ghost = await registerGhost(open, 'irc', 'devices')
    const acting = actingClient(open, 'irc', { user_id: ghost })
    expect((await acting.call('PUT', '/devices/NEW', { display_name: 'first' })).status).toBe(201)
    expect((await acting.call('PUT', '/devices/NEW', { display_name: 'second' })).status).toBe(200)
    expect(await acting.done('GET', '/devices/NEW')).toMatchObject({
      device_id: 'NEW',
      display_name: 'second',
    })
    expect((await acting.call('PUT', '/devices/UNNAMED', {})).status).toBe(201)
    const device = actingClient(open, 'irc', { user_id: ghost, device_id: 'NEW' })
    const { status } = await device.call('POST', '/keys/upload', {
      one_time_keys: { 'signed_curve25519:A': { key: 'a'.repeat(43), signatures: {} } },
    })
    expect(status).toBe(200)
    expect(await device.done('GET', '/sync')).toMatchObject({
      device_one_time_keys_count: { signed_curve25519: 1 },
    })
  })

  it('are not made by others', async () => {
    expect(await alice.call('PUT', '/devices/NEW', { display_name: 'x' })).toEqual(
      refusal(404, 'M_NOT_FOUND'),
    )
  })

  it('have ids of at most 255 characters', async () => {
    const acting = actingClient(open, 'irc')
    expect(await acting.call('PUT', `/devices/${'x'.repeat(256)}`, {})).toEqual(
      refusal(400, 'M_INVALID_PARAM'),
    )
  })

  it('are deleted without authentication, with their tokens', async () => {
    const ghost = await registerGhost(open, 'irc', 'deletions')
    const acting = actingClient(open, 'irc', { user_id: ghost })
    const { body } = await login(open, ghost, asTokenOf('irc'), { device_id: 'ONE' })
    await acting.call('PUT', '/devices/TWO', {})
    await acting.call('PUT', '/devices/THREE', {})
    expect((await acting.call('DELETE', '/devices/ONE', {})).status).toBe(200)
    expect((await acting.call('POST', '/delete_devices', { devices: ['TWO', 'THREE'] })).status).toBe(200)
    expect(await acting.done('GET', '/devices')).toEqual({ devices: [] })
    const token = textOf(body, 'access_token')
    expect(await open.request('GET', '/_matrix/client/v3/account/whoami', { token })).toEqual(
      refusal(401, 'M_UNKNOWN_TOKEN'),
    )
  })

  it('cross-signing keys are replaced without authentication', async () => {
    const ghost = await registerGhost(open, 'irc', 'keys')
    const acting = actingClient(open, 'irc', { user_id: ghost })
    for (const { master, selfSigning, userSigning } of [signingKeys(ghost), signingKeys(ghost)]) {
      await acting.done('POST', '/keys/device_signing/upload', {
        master_key: master.object,
        self_signing_key: selfSigning.object,
        user_signing_key: userSigning.object,
      })
      const found = await acting.done('POST', '/keys/query', { device_keys: { [ghost]: [] } })
      expect(found).toMatchObject({
        master_keys: { [ghost]: { keys: { [master.keyId]: master.publicKey } } },
      })
    }
  })
})

describe('account management', () => {
  it('is no business of application services: no password, no address', async () => {
    const ghost = await registerGhost(open, 'irc', 'management')
    const acting = actingClient(open, 'irc', { user_id: ghost })
    expect(await acting.call('POST', '/account/password', { new_password: 'a good password' })).toEqual(
      refusal(403, 'M_FORBIDDEN'),
    )
    expect(await acting.call('POST', '/account/3pid/add', { sid: 'x', client_secret: 'y' })).toEqual(
      refusal(403, 'M_FORBIDDEN'),
    )
  })

  it('but they close accounts of theirs, and act as those no more', async () => {
    const ghost = await registerGhost(open, 'irc', 'closed')
    const acting = actingClient(open, 'irc', { user_id: ghost })
    expect((await acting.call('POST', '/account/deactivate', {})).status).toBe(200)
    expect(await acting.call('GET', '/account/whoami')).toEqual(refusal(403, 'M_USER_DEACTIVATED'))
    expect(await login(open, ghost, asTokenOf('irc'))).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await register(open, { username: '_irc_closed' }, asTokenOf('irc'))).toEqual(
      refusal(400, 'M_USER_IN_USE'),
    )
  })
})

describe('rate limits', () => {
  // More than the smallest of the limits in a minute, of a path that counts for each user.
  const ask = async (client: RoomClient) => {
    const answers = await Promise.all(
      Array.from({ length: 45 }, () =>
        client.call('POST', '/account/3pid/unbind', { medium: 'email', address: 'a@b.example' }),
      ),
    )
    return answers.some(({ status }) => status === 429)
  }

  it('hold for the users of an application service, unless it has none, and never for its sender', async () => {
    const limited = actingClient(closed, 'xmpp', { user_id: await registerGhost(closed, 'xmpp', 'limited') })
    const free = actingClient(closed, 'irc', { user_id: await registerGhost(closed, 'irc', 'free') })
    expect(await ask(limited)).toBe(true)
    expect(await ask(free)).toBe(false)
    expect(await ask(actingClient(closed, 'xmpp'))).toBe(false)
  })

  it('do not hold for registrations', async () => {
    for (const n of Array(15).keys()) await registerGhost(closed, 'xmpp', `many${n}`)
  })
})
