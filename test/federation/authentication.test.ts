// X-Matrix over real TLS: what another server signed gets in, anything else is answered 401.

import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ServerName } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { appRoutes } from '../../scripts/coverage.ts'
import { makeAuthority } from '../support/certificates.ts'
import {
  type FakeHomeserver,
  fakeKey,
  keyDocument,
  publicHalf,
  type RequestOptions,
  signedRequest,
  startFakeHomeserver,
} from '../support/fake-homeserver.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'

const authority = makeAuthority()
const old = fakeKey('ed25519:old')
let server: FederatedServer
let remote: FakeHomeserver
let expired: FakeHomeserver
beforeAll(async () => {
  server = await startFederatedServer(authority, 'hearth.test')
  remote = await startFakeHomeserver(authority, 'remote.test')
  const old_verify_keys = { [old.keyId]: { key: publicHalf(old), expired_ts: Date.now() - 1000 } }
  remote.answer('/_matrix/key/v2/server', () =>
    keyDocument(remote.serverName, [remote.key], { old_verify_keys }),
  )
  expired = await startFakeHomeserver(authority, 'expired.test')
  expired.answer('/_matrix/key/v2/server', () =>
    keyDocument(expired.serverName, [expired.key], { valid_until_ts: Date.now() - 1000 }),
  )
})
afterAll(async () => {
  await Promise.all([remote.stop(), expired.stop()])
  await server.stop()
})

interface Sent {
  readonly method: string
  readonly uri: string
  readonly authorization?: string | string[]
  readonly body?: string | undefined
  /** The Content-Length to announce, if not that of the body; the rest never comes. */
  readonly length?: number
}

/** Sends exactly this, over TLS. */
async function send({ method, uri, authorization, body, length }: Sent) {
  const [host = '', port = ''] = server.serverName.split(':')
  const request = httpsRequest({
    method,
    path: uri,
    port,
    host: '127.0.0.1',
    servername: host,
    ca: authority.ca,
    agent: false,
    headers: {
      Host: server.serverName,
      ...(authorization && { Authorization: authorization }),
      ...(length !== undefined && { 'Content-Length': length }),
    },
  })
  if (length === undefined) request.end(body)
  else request.write(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const text = Buffer.concat(await response.toArray()).toString()
  request.destroy()
  return { status: response.statusCode ?? 0, body: JSON.parse(text) as JsonObject }
}

const signed = (options?: RequestOptions) => signedRequest(remote.signer, server.serverName, options)

describe('a request is let in', () => {
  test('with its origin and content told', async () => {
    expect(await send(signed({ content: { b: [1, 'ü', null] } }))).toEqual({
      status: 200,
      body: { origin: remote.serverName, content: { b: [1, 'ü', null] }, faults: [], id: '1' },
    })
  })

  test('without a body', async () => {
    const { status, body } = await send(signed({ method: 'GET', content: null }))
    expect([status, body.content]).toEqual([200, {}])
  })

  test.each([
    ['escapes', '/_matrix/federation/probe/%21a%3Ab%2Fc%c3%bc'],
    ['bare marks', `/_matrix/federation/probe/!a:b$c@d`],
    ['a query', `/_matrix/federation/probe/1?a=it's&b=%2F&&c`],
  ])('signed with %s in its path, as they are', async (_, uri) => {
    expect((await send(signed({ uri }))).status).toBe(200)
  })

  test('whose body is not canonical', async () => {
    const { body: _, ...rest } = signed({ content: { a: 1, b: 'ü' } })
    expect((await send({ ...rest, body: ' { "b" : "\\u00fc", "a": 1 }' })).status).toBe(200)
  })

  test('with numbers as only its sender writes them, and told so', async () => {
    // What was signed is the text itself: JavaScript would write 1 and 1e+30.
    const text = '{"a":1.0,"b":1E30}'
    const { authorization } = signedText(text)
    const { status, body } = await send({ ...target, authorization, body: text })
    expect([status, body.faults]).toEqual([
      200,
      [
        { kind: 'float', path: ['a'] },
        { kind: 'float', path: ['b'] },
      ],
    ])
  })

  test('with several signatures in several headers, one of them by a key that nobody knows', async () => {
    const unknown = signedRequest({ ...remote.signer, ...fakeKey('ed25519:unknown') }, server.serverName)
    const known = signed()
    const authorization = [unknown.authorization, known.authorization]
    expect((await send({ ...known, authorization })).status).toBe(200)
  })

  test('without a destination, from an older server', async () => {
    const request = signed()
    const authorization = request.authorization.replace(/destination="[^"]*",/, '')
    expect((await send({ ...request, authorization })).status).toBe(200)
  })
})

const target = { method: 'PUT', uri: '/_matrix/federation/probe/1' }

function signedText(text: string) {
  const message = `{"content":${text},"destination":"${server.serverName}","method":"PUT","origin":"${remote.serverName}","uri":"${target.uri}"}`
  const sig = Buffer.from(remote.key.key.sign(Buffer.from(message)))
    .toString('base64')
    .replace(/=+$/, '')
  const authorization = `X-Matrix origin="${remote.serverName}",destination="${server.serverName}",key="${remote.key.keyId}",sig="${sig}"`
  return { authorization }
}

describe('a request is refused with 401 M_UNAUTHORIZED', () => {
  const cases: [string, () => Sent][] = [
    ['without an Authorization header', () => ({ ...signed(), authorization: [] })],
    ['with an access token', () => ({ ...signed(), authorization: 'Bearer abc' })],
    ['with a malformed header', () => ({ ...signed(), authorization: `${signed().authorization},` })],
    ['for another destination', () => signedRequest(remote.signer, 'other.test')],
    [
      'for another destination, told to be ours',
      () => renamed(signedRequest(remote.signer, 'other.test'), 'other.test', server.serverName),
    ],
    [
      'for another destination, not told',
      () => {
        const request = signedRequest(remote.signer, 'other.test')
        return { ...request, authorization: request.authorization.replace('destination="other.test",', '') }
      },
    ],
    ['by an unknown key', () => signedRequest({ ...remote.signer, keyId: 'ed25519:2' }, server.serverName)],
    ['by an unknown server', () => signedRequest(named('nobody.test:1'), server.serverName)],
    ['in the name of another server', () => signedRequest(named(expired.serverName), server.serverName)],
    ['in our own name', () => signedRequest(named(server.serverName), server.serverName)],
    ['by a key that has expired', () => signedRequest(expired.signer, server.serverName)],
    ['by an old key', () => signedRequest({ ...remote.signer, ...old }, server.serverName)],
    [
      'by another key of that name',
      () => signedRequest({ ...remote.signer, ...fakeKey() }, server.serverName),
    ],
    ['with a changed body', () => ({ ...signed(), body: '{"a":2}' })],
    ['with a body that was not signed', () => ({ ...signed({ content: null }), body: '{}' })],
    ['without its body', () => ({ ...signed(), body: undefined })],
    ['replayed to another path', () => ({ ...signed(), uri: '/_matrix/federation/probe/2' })],
    ['replayed with a query', () => ({ ...signed(), uri: '/_matrix/federation/probe/1?a' })],
    [
      'replayed with another escape',
      () => ({ ...signed({ uri: '/_matrix/federation/probe/!' }), uri: '/_matrix/federation/probe/%21' }),
    ],
    ['replayed with another method', () => ({ ...signed({ content: null }), method: 'GET' })],
    [
      'with a right and a wrong signature',
      () => ({ ...signed(), authorization: [signed().authorization, corrupted(signed().authorization)] }),
    ],
    [
      'of two origins',
      () => ({
        ...signed(),
        authorization: [
          signed().authorization,
          signedRequest(named('b.test'), server.serverName).authorization,
        ],
      }),
    ],
  ]
  test.each(cases)('%s', async (_, make) => {
    const { status, body } = await send(make())
    expect([status, body.errcode]).toEqual([401, 'M_UNAUTHORIZED'])
  })

  const named = (serverName: string) => ({ ...remote.signer, serverName: serverName as ServerName })
  const corrupted = (header: string) =>
    header.replace(/sig="./, (start) => (start.endsWith('A') ? 'sig="B' : 'sig="A'))
  const renamed = (request: ReturnType<typeof signedRequest>, from: string, to: string) => ({
    ...request,
    authorization: request.authorization.replace(`"${from}"`, `"${to}"`),
  })
})

test('a body that is no JSON object is refused as that', async () => {
  for (const [body, errcode] of [
    ['nonsense', 'M_NOT_JSON'],
    ['[1]', 'M_BAD_JSON'],
  ] as const) {
    expect((await send({ ...signed(), body })).body.errcode).toBe(errcode)
  }
})

test('a body that is too large is refused', async () => {
  const { status, body } = await send({ ...signed(), body: '{', length: 1024 * 1024 + 1 })
  expect([status, body.errcode]).toEqual([413, 'M_TOO_LARGE'])
})

// Open by the specification.
const open = [
  '/_matrix/federation/v1/version',
  '/_matrix/federation/v1/openid/userinfo',
  // An identity server asks, which has no keys to sign with.
  '/_matrix/federation/v1/3pid/onbind',
]

test('every federation route but the open ones asks for a signature', async () => {
  const routes = appRoutes().filter(({ path }) => path.startsWith('/_matrix/federation/'))
  expect(routes.length).toBeGreaterThan(0)
  for (const { method, path } of routes.filter((route) => !open.includes(route.path))) {
    const uri = path.replace(/:\w+(\{[^/]*\})?/g, 'x')
    const { status, body } = await send({ method, uri, body: method === 'GET' ? undefined : '{}' })
    expect([method, path, status, body.errcode]).toEqual([method, path, 401, 'M_UNAUTHORIZED'])
  }
})

test('unknown federation endpoints and methods are unrecognized, not unauthorized', async () => {
  const path = await send({ method: 'GET', uri: '/_matrix/federation/v1/nothing' })
  expect([path.status, path.body.errcode]).toEqual([404, 'M_UNRECOGNIZED'])
  const method = await send({ method: 'POST', uri: '/_matrix/federation/v1/version' })
  expect([method.status, method.body.errcode]).toEqual([405, 'M_UNRECOGNIZED'])
})
