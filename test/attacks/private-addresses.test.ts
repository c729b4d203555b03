// Attack: having our server call addresses that are its own network's (SSRF). Where it goes is named by clients, by other servers and
// by DNS; by default none of them leads it to an address that is not public.

import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { federationTransport } from '../../scripts/federation-transport.ts'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import type { JsonValue } from '../../src/matrix/json.ts'
import { signJson } from '../../src/matrix/signing.ts'
import { fakeKey, signedRequest } from '../support/fake-homeserver.ts'
import type { ServerName } from '../../src/matrix/event.ts'
import { textOf } from '../support/text-of.ts'
import { type Account, startServer, type TestServer, testServerName } from '../support/server.ts'

let server: TestServer
let alice: Account
/** Something in our network that is none of others' business. It counts who knocks. */
let inner: Server
let innerPort = 0
let knocks = 0
let looked: string[] = []
beforeAll(async () => {
  inner = createServer((socket) => {
    knocks += 1
    socket.destroy()
  })
  await once(inner.listen(0, '0.0.0.0'), 'listening')
  innerPort = (inner.address() as AddressInfo).port
  server = await startServer({
    federation: federationTransport({
      names: {
        addresses: (hostname) => {
          looked.push(hostname)
          return Promise.resolve([
            { address: '127.0.0.1', family: 4 },
            { address: '10.0.0.1', family: 4 },
            { address: '::ffff:127.0.0.1', family: 6 },
            { address: 'fd00::1', family: 6 },
          ])
        },
        srv: () => Promise.resolve([{ name: 'inner.test', port: innerPort, priority: 1, weight: 1 }]),
      },
      wellKnownPort: innerPort,
      pagePorts: [innerPort],
    }),
  })
  alice = await server.register('alice')
})
beforeEach(() => {
  knocks = 0
  looked = []
})
afterAll(async () => {
  inner.close()
  await server.stop()
})

const names = [
  ['a loopback address', () => `127.0.0.1:${innerPort}`],
  ['an IPv6 loopback address', () => `[::1]:${innerPort}`],
  ['IPv4 within IPv6', () => `[::ffff:127.0.0.1]:${innerPort}`],
  ['any address', () => `0.0.0.0:${innerPort}`],
  ['the address of cloud metadata', () => '169.254.169.254:80'],
  ['a number that is an address', () => `2130706433:${innerPort}`],
  ['a hexadecimal address', () => `0x7f000001:${innerPort}`],
  ['a short address', () => `127.1:${innerPort}`],
  ['localhost', () => `localhost:${innerPort}`],
  ['a name that leads inside', () => `inner.test:${innerPort}`],
  ['a name whose well-known document and SRV record lead inside', () => 'inner.test'],
] as const

/** Requests of a client that have the server ask another one. */
const ways: [string, (name: string) => [method: string, path: string, body?: JsonValue]][] = [
  ['a join', (name) => ['POST', `/v3/join/${encodeURIComponent('!room:x.test')}?via=${name}`, {}]],
  ['a knock', (name) => ['POST', `/v3/knock/${encodeURIComponent('!room:x.test')}?via=${name}`, {}]],
  ['an alias', (name) => ['GET', `/v3/directory/room/${encodeURIComponent(`#alias:${name}`)}`]],
  ['a room directory', (name) => ['GET', `/v3/publicRooms?server=${encodeURIComponent(name)}`]],
  ['a profile', (name) => ['GET', `/v3/profile/${encodeURIComponent(`@user:${name}`)}`]],
  ['media', (name) => ['GET', `/v1/media/download/${name}/abc`]],
  ['a thumbnail', (name) => ['GET', `/v1/media/thumbnail/${name}/abc?width=1&height=1`]],
  ['a summary', (name) => ['GET', `/v1/room_summary/${encodeURIComponent('!room:x.test')}?via=${name}`]],
  ['device keys', (name) => ['POST', '/v3/keys/query', { device_keys: { [`@user:${name}`]: [] } }]],
  [
    'one-time keys',
    (name) => [
      'POST',
      '/v3/keys/claim',
      { one_time_keys: { [`@user:${name}`]: { A: 'signed_curve25519' } } },
    ],
  ],
  [
    'a pusher',
    (name) => [
      'POST',
      '/v3/pushers/set',
      {
        app_id: 'a',
        pushkey: 'k',
        kind: 'http',
        app_display_name: 'a',
        device_display_name: 'd',
        lang: 'en',
        data: { url: `https://${name}/_matrix/push/v1/notify` },
      },
    ],
  ],
  [
    'an identity server to bind at',
    (name) => [
      'POST',
      '/v3/account/3pid/bind',
      { id_server: name, id_access_token: 't', sid: 's', client_secret: 'c' },
    ],
  ],
  [
    'an identity server to unbind at',
    (name) => [
      'POST',
      '/v3/account/3pid/unbind',
      { id_server: name, medium: 'email', address: 'a@example.org' },
    ],
  ],
  ['a preview', (name) => ['GET', `/v1/media/preview_url?url=${encodeURIComponent(`http://${name}/`)}`]],
  [
    'a preview over TLS',
    (name) => ['GET', `/v1/media/preview_url?url=${encodeURIComponent(`https://${name}/`)}`],
  ],
]

describe.each(ways)('%s', (_, request) => {
  test.each(names)('at %s is not fetched', async (_name, name) => {
    const [method, path, body] = request(name())
    const response = await server.fetch(`/_matrix/client${path}`, {
      method,
      headers: { Authorization: `Bearer ${alice.token}`, 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    await response.text()
    expect(response.status).not.toBe(500)
    expect(knocks).toBe(0)
  })
})

test('a message is pushed to no gateway there', async () => {
  for (const [, name] of names) {
    const pusher = {
      app_id: 'a',
      pushkey: name(),
      kind: 'http',
      app_display_name: 'a',
      device_display_name: 'd',
      lang: 'en',
      append: true,
      data: { url: `https://${name()}/_matrix/push/v1/notify` },
    }
    await server.request('POST', '/_matrix/client/v3/pushers/set', { token: alice.token, body: pusher })
  }
  const bob = await server.register('bob')
  const created = await server.request('POST', '/_matrix/client/v3/createRoom', {
    token: bob.token,
    body: { preset: 'trusted_private_chat', is_direct: true, invite: [alice.userId] },
  })
  const room = `/_matrix/client/v3/rooms/${encodeURIComponent(textOf(created.body, 'room_id'))}`
  await server.request('POST', `${room}/join`, { token: alice.token, body: {} })
  await server.measure(() =>
    server.request('PUT', `${room}/send/m.room.message/1`, { token: bob.token, body: { body: 'hello' } }),
  )
  // It was tried.
  expect(looked).toContain('inner.test')
  expect(knocks).toBe(0)
})

test('an invite of a user there is not sent, nor are messages', async () => {
  const created = await server.request('POST', '/_matrix/client/v3/createRoom', {
    token: alice.token,
    body: {},
  })
  const room = `/_matrix/client/v3/rooms/${encodeURIComponent(textOf(created.body, 'room_id'))}`
  for (const [, name] of names) {
    const body = { user_id: `@user:${name()}` }
    const answer = await server.request('POST', `${room}/invite`, { token: alice.token, body })
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(answer.status).not.toBe(500)
  }
  expect(knocks).toBe(0)
})

test('an invite by e-mail is not kept there, nor is a key looked up there by which one is claimed', async () => {
  const created = await server.request('POST', '/_matrix/client/v3/createRoom', {
    token: alice.token,
    body: { preset: 'public_chat' },
  })
  const room = `/_matrix/client/v3/rooms/${encodeURIComponent(textOf(created.body, 'room_id'))}`
  const { key, keyId } = fakeKey()
  for (const [n, [, name]] of names.entries()) {
    const invite = { id_server: name(), id_access_token: 't', medium: 'email', address: 'a@example.org' }
    const answer = await server.request('POST', `${room}/invite`, { token: alice.token, body: invite })
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(answer.status).not.toBe(500)
    const content = {
      display_name: 'a',
      public_key: encodeBase64(key.publicKey),
      key_validity_url: `https://${name()}/valid`,
    }
    await server.request('PUT', `${room}/state/m.room.third_party_invite/t${n}`, {
      token: alice.token,
      body: content,
    })
    const carol = await server.register(`carol${n}`)
    const claim = { sender: alice.userId, mxid: carol.userId, token: `t${n}` }
    const joined = await server.request('POST', `${room}/join`, {
      token: carol.token,
      body: { third_party_signed: signJson(claim, 'identity.test', keyId, key) },
    })
    expect(joined.status).toBe(502)
  }
  expect(looked).toContain('inner.test')
  expect(knocks).toBe(0)
})

test('the key of a server that says it lives there is not fetched', async () => {
  for (const [, name] of names) {
    const signer = { serverName: name() as ServerName, ...fakeKey() }
    const uri = '/_matrix/federation/v1/query/profile?user_id=%40alice%3Atest.local'
    const { authorization } = signedRequest(signer, testServerName, { method: 'GET', uri, content: null })
    const response = await server.fetch(uri, { headers: { Authorization: authorization } })
    expect(response.status).toBe(401)
    await response.text()
  }
  expect(knocks).toBe(0)
})

test('the notary fetches nothing there for anybody', async () => {
  for (const [, name] of names) {
    await (await server.fetch(`/_matrix/key/v2/query/${name()}`)).text()
    const body = { server_keys: { [name()]: {} } }
    const answer = await server.request('POST', '/_matrix/key/v2/query', { body })
    expect(answer.status).not.toBe(500)
  }
  expect(knocks).toBe(0)
})

test('and the names were looked up, so that what was refused was their address', async () => {
  await (await server.fetch(`/_matrix/key/v2/query/fresh.test:${innerPort}`)).text()
  expect(looked).toContain('fresh.test')
  expect(knocks).toBe(0)
})
