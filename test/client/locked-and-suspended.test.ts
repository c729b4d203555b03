// What locked and suspended users may do, asked of every route that there is: a new one has to be put where it belongs.
// Specification: client-server API, "Account locking" (MSC3939), "Account suspension" (MSC3823).

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { appRoutes, type Route } from '../../scripts/coverage.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const routes = appRoutes().filter(({ path }) => /^\/_matrix\/(client|media)\//.test(path))
const named = (some: readonly Route[]) => some.map((route) => [nameOf(route), route] as const)
const nameOf = ({ method, path }: Route) => `${method} ${path.replace(/^\/_matrix\//, '')}`

// Open to those who have no session at all: an account that is locked makes no difference there.
const withoutSession: ReadonlySet<string> = new Set([
  'POST client/v3/register/email/requestToken',
  'POST client/v3/register/msisdn/requestToken',
  'POST client/v3/account/password/email/requestToken',
  'POST client/v3/account/password/msisdn/requestToken',
  'POST client/v3/account/3pid/email/requestToken',
  'POST client/v3/account/3pid/msisdn/requestToken',
  'GET client/v3/profile/:userId',
  'GET client/v3/profile/:userId/:keyName',
  'GET client/unstable/uk.tcpip.msc4133/profile/:userId',
  'GET client/unstable/uk.tcpip.msc4133/profile/:userId/:keyName',
  'GET client/v3/directory/room/:roomAlias',
  'GET client/v3/directory/list/room/:roomId',
  'GET client/v3/publicRooms',
  'POST client/unstable/hearth/email/submit_token',
  'GET client/unstable/hearth/email/submit_token',
  'POST client/unstable/hearth/email/confirm',
  'GET client/unstable/hearth/email/unsubscribe',
  'POST client/unstable/hearth/email/unsubscribe',
  'GET client/v3/auth/:authType/fallback/web',
  'POST client/v3/auth/:authType/fallback/web',
  'POST client/unstable/org.matrix.msc4140/delayed_events/:delayId/:action',
  'POST client/unstable/org.matrix.msc4140/delayed_events/:delayId',
  'GET client/v1/auth_metadata',
  'GET client/unstable/org.matrix.msc2965/auth_metadata',
  'GET client/unstable/org.matrix.msc2965/auth_issuer',
  'POST client/unstable/hearth/oauth/register-client',
  'POST client/unstable/hearth/oauth/device-authorization',
  'POST client/unstable/hearth/oauth/token',
  'POST client/unstable/hearth/oauth/revoke',
  'GET client/unstable/hearth/oauth/authorize',
  'POST client/unstable/hearth/oauth/consent',
  'GET client/unstable/hearth/oauth/consent',
  'POST client/unstable/hearth/oauth/sign-in',
  'GET client/unstable/hearth/oauth/sign-in',
  'GET client/unstable/hearth/oauth/signed-in',
  'POST client/unstable/hearth/oauth/sign-out',
  'GET client/unstable/hearth/oauth/sign-out',
  'GET client/unstable/hearth/oauth/recover',
  'POST client/unstable/hearth/oauth/recover',
  'POST client/unstable/hearth/oauth/recover/password',
  'GET client/unstable/hearth/oauth/recover/password',
  'GET client/unstable/hearth/oauth/register',
  'POST client/unstable/hearth/oauth/register',
  'GET client/unstable/hearth/oauth/link',
  'POST client/unstable/hearth/oauth/link',
  'GET client/unstable/hearth/oauth/account',
  'GET client/unstable/hearth/oauth/login',
  'POST client/unstable/hearth/oauth/login',
  'POST client/unstable/hearth/oauth/account/end-session',
  'GET client/unstable/hearth/oauth/account/end-session',
  'POST client/unstable/hearth/oauth/account/profile',
  'GET client/unstable/hearth/oauth/account/profile',
  'POST client/unstable/hearth/oauth/account/confirm-address',
  'GET client/unstable/hearth/oauth/account/confirm-address',
  'POST client/unstable/hearth/oauth/account/add-address',
  'GET client/unstable/hearth/oauth/account/add-address',
  'POST client/unstable/hearth/oauth/account/remove-address',
  'GET client/unstable/hearth/oauth/account/remove-address',
  'POST client/unstable/hearth/oauth/account/password',
  'GET client/unstable/hearth/oauth/account/password',
  'POST client/unstable/hearth/oauth/account/deactivate',
  'GET client/unstable/hearth/oauth/account/deactivate',
  'POST client/unstable/hearth/oauth/account/reset-cross-signing',
  'GET client/unstable/hearth/oauth/account/reset-cross-signing',
  'GET client/unstable/hearth/sso/account',
  'POST client/unstable/hearth/sso/account',
  'GET client/unstable/hearth/sso/callback/:provider',
  'GET client/unstable/hearth/sso/confirm',
  'POST client/unstable/hearth/sso/confirm',
  'GET client/v3/login/sso/redirect',
  'GET client/v3/login/sso/redirect/:idpId',
  'GET client/v3/login',
  'POST client/v3/login',
  'POST client/v3/refresh',
  'POST client/v3/register',
  'GET client/v3/register/available',
  'GET client/v1/register/m.login.registration_token/validity',
  'GET client/versions',
  'GET static/client/login/',
  'GET media/v3/download/:serverName/:mediaId',
  'GET media/v3/download/:serverName/:mediaId/:fileName',
  'GET media/v3/thumbnail/:serverName/:mediaId',
])

const logouts = ['POST client/v3/logout', 'POST client/v3/logout/all']

const asked = routes.filter((route) => !withoutSession.has(nameOf(route)) && !logouts.includes(nameOf(route)))

// What suspended users are refused. Everything else they may do.
const refusedToSuspended: ReadonlySet<string> = new Set([
  // Joining and knocking, accepting and sending invites.
  'POST client/v3/createRoom',
  'POST client/v3/join/:roomIdOrAlias',
  'POST client/v3/rooms/:roomId/join',
  'POST client/v3/knock/:roomIdOrAlias',
  'POST client/v3/rooms/:roomId/invite',
  // Sending, redacting what others sent, and other changes to rooms.
  'PUT client/v3/rooms/:roomId/send/:eventType/:txnId',
  'PUT client/v3/rooms/:roomId/redact/:eventId/:txnId',
  'PUT client/v3/rooms/:roomId/state/:eventType',
  'PUT client/v3/rooms/:roomId/state/:eventType/',
  'PUT client/v3/rooms/:roomId/state/:eventType/:stateKey',
  'PUT client/unstable/org.matrix.msc4140/rooms/:roomId/delayed_event/:eventType/:txnId',
  'POST client/v3/rooms/:roomId/kick',
  'POST client/v3/rooms/:roomId/ban',
  'POST client/v3/rooms/:roomId/unban',
  'POST client/v3/rooms/:roomId/upgrade',
  'PUT client/v3/directory/room/:roomAlias',
  'DELETE client/v3/directory/room/:roomAlias',
  'PUT client/v3/directory/list/room/:roomId',
  // Changing the profile, and the line that is shown beside it.
  'PUT client/v3/profile/:userId/:keyName',
  'DELETE client/v3/profile/:userId/:keyName',
  'PUT client/unstable/uk.tcpip.msc4133/profile/:userId/:keyName',
  'DELETE client/unstable/uk.tcpip.msc4133/profile/:userId/:keyName',
  'PUT client/v3/presence/:userId/status',
  // What nobody could be shown.
  'POST media/v3/upload',
  'PUT media/v3/upload/:serverName/:mediaId',
  'POST media/v1/create',
  // Contacts may be added, but not removed.
  'POST client/v3/account/3pid/delete',
])

let server: TestServer
let admin: RoomClient
let alice: RoomClient
let bob: RoomClient
let roomId: string
let ofBob: string
let ofAlice: string
beforeAll(async () => {
  server = await startServer()
  admin = await newClient(server, 'admin')
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
  const db = await server.mf.getD1Database('DB')
  await db.prepare("UPDATE users SET admin = 1 WHERE user_id LIKE '@admin%'").run()
  roomId = await alice.createRoom({ preset: 'public_chat', room_alias_name: 'hers' })
  await bob.join(roomId)
  ofBob = await bob.send(roomId, { body: 'of Bob' })
  ofAlice = await alice.send(roomId, { body: 'of Alice' })
})
afterAll(() => server.stop())

const set = (flag: 'suspend' | 'lock', field: string, value: boolean) =>
  admin.done('PUT', `/../v1/admin/${flag}/${encodeURIComponent(alice.userId)}`, { [field]: value })

function call({ method, path }: Route, token?: string) {
  const values: Readonly<Record<string, string>> = {
    userId: alice.userId,
    roomId,
    roomIdOrAlias: roomId,
    roomAlias: '#hers:test.local',
    eventId: ofBob,
    eventType: 'm.room.message',
    txnId: 'txn',
    stateKey: '',
    serverName: 'test.local',
    mediaId: 'media',
    keyName: 'displayname',
    receiptType: 'm.read',
    kind: 'override',
  }
  const filled = path.replaceAll(/:([A-Za-z]+)/g, (_, name: string) =>
    encodeURIComponent(values[name] ?? name),
  )
  const bodies: Readonly<Record<string, JsonObject>> = {
    'PUT client/v3/presence/:userId/status': { presence: 'online', status_msg: 'Buy here' },
    'POST client/v3/account/3pid/delete': { medium: 'email', address: 'alice@example.org' },
    'PUT client/unstable/org.matrix.msc4140/rooms/:roomId/delayed_event/:eventType/:txnId': {
      delay_ms: 1000,
      content: {},
    },
  }
  return server.fetch(`${filled}${path.endsWith('/events') ? '?timeout=0' : ''}`, {
    method,
    headers: {
      'Content-Type': 'application/json',
      ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    },
    ...(method === 'GET' ? {} : { body: JSON.stringify(bodies[nameOf({ method, path })] ?? {}) }),
  })
}

async function errcodeOf(response: Response): Promise<unknown> {
  const text = await response.text()
  return /^\s*\{/.test(text) ? (JSON.parse(text) as JsonObject)['errcode'] : undefined
}

describe('a locked user', () => {
  beforeAll(() => set('lock', 'locked', true))
  afterAll(() => set('lock', 'locked', false))

  test.each(named(asked))('is refused %s', async (_, route) => {
    const response = await call(route, alice.token)
    const body = await response.text()
    expect(response.status, body).toBe(401)
    expect(JSON.parse(body)).toMatchObject({ errcode: 'M_USER_LOCKED', soft_logout: true })
  })

  test.each(named(routes.filter((route) => withoutSession.has(nameOf(route)))))(
    'needs no session for %s',
    async (_, route) => {
      const expected = await errcodeOf(await call(route))
      expect(expected).not.toBe('M_MISSING_TOKEN')
      expect(await errcodeOf(await call(route, alice.token))).toBe(expected)
    },
  )

  test.each([
    ['GET', '/sync?timeout=20000&since='],
    ['GET', '/events?timeout=20000&from='],
    ['POST', '/../v4/sync'],
  ])('is told nothing more by a %s %s that waits', async (method, path) => {
    const waiting = await newClient(server, `waits${path.replaceAll(/\W/g, '')}`)
    const token = textOf(await waiting.done('GET', '/sync'), 'next_batch')
    const { body } = await waiting.call('POST', '/../v4/sync', {})
    const answer =
      method === 'GET'
        ? waiting.call('GET', `${path}${token}`)
        : waiting.call('POST', path, { pos: textOf(body, 'pos'), timeout: 20_000 })
    // It may not wait yet: then it finds out by itself.
    await new Promise((resolve) => setTimeout(resolve, 200))
    await admin.done('PUT', `/../v1/admin/lock/${encodeURIComponent(waiting.userId)}`, { locked: true })
    expect(await answer).toEqual(refusal(401, 'M_USER_LOCKED'))
  })

  test('can log out, of one session or of all, and not in again', async () => {
    const other = await newClient(server, 'other')
    await admin.done('PUT', `/../v1/admin/lock/${encodeURIComponent(other.userId)}`, { locked: true })
    expect((await other.call('POST', '/logout', {})).status).toBe(200)
    expect(await other.call('GET', '/account/whoami')).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    const third = await newClient(server, 'third')
    await admin.done('PUT', `/../v1/admin/lock/${encodeURIComponent(third.userId)}`, { locked: true })
    expect((await third.call('POST', '/logout/all', {})).status).toBe(200)
    expect(await third.call('GET', '/account/whoami')).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
  })
})

describe('a suspended user', () => {
  beforeAll(() => set('suspend', 'suspended', true))
  afterAll(() => set('suspend', 'suspended', false))

  // Whoever has left or is forgotten about is of no use to the others.
  const last = (route: Route) => (/\/(leave|forget)$/.test(route.path) ? 1 : 0)

  test.each(named(asked.toSorted((a, b) => last(a) - last(b))))('may do or not: %s', async (_, route) => {
    const response = await call(route, alice.token)
    const { status } = response
    const errcode = await errcodeOf(response)
    if (!refusedToSuspended.has(nameOf(route))) return expect(errcode).not.toBe('M_USER_SUSPENDED')
    expect([status, errcode]).toEqual([403, 'M_USER_SUSPENDED'])
  })

  test('may redact their own events, by both endpoints, and leave by setting state', async () => {
    expect((await alice.join(roomId)).status).toBe(403)
    await set('suspend', 'suspended', false)
    await alice.join(roomId)
    const another = await alice.send(roomId, { body: 'of Alice too' })
    await set('suspend', 'suspended', true)
    expect((await alice.redact(roomId, ofAlice)).status).toBe(200)
    expect((await alice.inRoom('PUT', roomId, 'send/m.room.redaction/r1', { redacts: another })).status).toBe(
      200,
    )
    expect(await alice.inRoom('PUT', roomId, 'send/m.room.redaction/r2', { redacts: ofBob })).toEqual(
      refusal(403, 'M_USER_SUSPENDED'),
    )
    const leave = { membership: 'leave' }
    expect((await alice.setState(roomId, 'm.room.member', leave, alice.userId)).status).toBe(200)
  })

  test('may reject invites, log in and out, and say that they are there', async () => {
    const invited = await bob.createRoom({ invite: [alice.userId] })
    expect((await alice.leave(invited)).status).toBe(200)
    expect((await alice.call('PUT', `/presence/${alice.userId}/status`, { presence: 'online' })).status).toBe(
      200,
    )
    const login = await server.request('POST', '/_matrix/client/v3/login', {
      body: {
        type: 'm.login.password',
        identifier: { type: 'm.id.user', user: 'alice' },
        password: `password of alice`,
      },
    })
    expect(login.status).toBe(200)
    const token = textOf(login.body, 'access_token')
    const say = await server.request('PUT', `/_matrix/client/v3/rooms/${roomId}/send/m.room.message/n`, {
      token,
      body: {},
    })
    expect(say).toEqual(refusal(403, 'M_USER_SUSPENDED'))
    expect((await server.request('POST', '/_matrix/client/v3/logout', { token, body: {} })).status).toBe(200)
  })

  test('may come into the room of the server’s notices, and be heard there as far as the room allows', async () => {
    const path = '/../../../_synapse/admin/v1/send_server_notice'
    await admin.done('POST', path, {
      user_id: alice.userId,
      content: { msgtype: 'm.text', body: 'Appeal here' },
    })
    const { rooms } = await alice.done('GET', '/sync')
    const [notices = ''] = Object.keys((rooms as Record<string, JsonObject>)['invite'] ?? {})
    expect((await alice.join(notices)).status).toBe(200)
    // It is the power levels that keep them from answering.
    expect(await alice.inRoom('PUT', notices, 'send/m.room.message/a', { body: 'x' })).toEqual(
      refusal(403, 'M_FORBIDDEN'),
    )
  })
})
