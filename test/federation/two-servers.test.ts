// Two servers of ours, which talk to each other over TLS.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkKeyAnswer } from '../../src/federation/client/key-answer.ts'
import { canonicalJson } from '../../src/matrix/canonical-json.ts'
import type { ServerName } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { implementation } from '../../src/version.ts'
import packageJson from '../../package.json' with { type: 'json' }
import { makeAuthority } from '../support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'

const authority = makeAuthority()
let one: FederatedServer
let two: FederatedServer
let fake: FakeHomeserver
beforeAll(async () => {
  ;[one, two, fake] = await Promise.all([
    startFederatedServer(authority, 'one.test'),
    // An IP literal, with a certificate for that.
    startFederatedServer(authority, '127.0.0.1'),
    startFakeHomeserver(authority, 'fake.test'),
  ])
})
afterAll(async () => {
  await fake.stop()
  await Promise.all([one.stop(), two.stop()])
})

/** Makes a server send a request to another. */
async function call(from: FederatedServer, fields: JsonObject) {
  return await from.request('POST', '/__call', { body: { method: 'GET', timeoutMs: 10_000, ...fields } })
}

describe('each to the other', () => {
  const pairs = () =>
    [
      [one, two],
      [two, one],
    ] as const

  test('tells its version', async () => {
    expect(implementation.version).toBe(packageJson.version)
    for (const [from, to] of pairs()) {
      const { body } = await call(from, {
        destination: to.serverName,
        path: '/_matrix/federation/v1/version',
      })
      expect(body).toEqual({ status: 200, body: { server: implementation }, faults: [] })
    }
  })

  test('sends requests that are believed', async () => {
    for (const [from, to] of pairs()) {
      const content = { text: 'für dich', list: [1, { b: 2, a: 1 }] }
      const path = `/_matrix/federation/probe/${encodeURIComponent("!it's:a/b")}?q=it's&r=%2F`
      const { body } = await call(from, { destination: to.serverName, method: 'PUT', path, content })
      expect(body).toMatchObject({ status: 200, body: { origin: from.serverName, content, id: "!it's:a/b" } })
    }
  })

  test('refuses requests that are not signed', async () => {
    const { body } = await call(one, {
      destination: two.serverName,
      path: '/_matrix/federation/probe/1',
      signed: false,
    })
    expect(body).toMatchObject({ status: 401, body: { errcode: 'M_UNAUTHORIZED' } })
  })

  test('vouches for keys of the other', async () => {
    const { body } = await call(one, {
      destination: two.serverName,
      path: `/_matrix/key/v2/query/${one.serverName}`,
      signed: false,
    })
    expect(body).toMatchObject({
      body: { server_keys: [{ server_name: one.serverName, signatures: { [two.serverName]: {} } }] },
    })
  })
})

describe('a request fails with what is wrong', () => {
  test.each<[string, () => JsonObject, number, RegExp]>([
    [
      'nobody is there',
      () => ({ destination: 'nobody.test:1' }),
      502,
      /^nobody.test:1 cannot be reached: .*ECONNREFUSED/,
    ],
    ['it is the server itself', () => ({ destination: one.serverName }), 502, /this server itself/],
    [
      'the certificate is of another name',
      () => ({ destination: `other.test:${fake.port}` }),
      502,
      /altnames/i,
    ],
    ['the answer is no JSON', () => ({ path: '/_matrix/text' }), 502, /no JSON object/],
    ['the answer is too large', () => ({ path: '/_matrix/large', maxBytes: 1000 }), 502, /too large/],
    ['the answer does not come', () => ({ path: '/_matrix/silent', timeoutMs: 300 }), 504, /in time/],
    ['the answer stops', () => ({ path: '/_matrix/stuck', timeoutMs: 300 }), 504, /in time/],
    ['the answer breaks off', () => ({ path: '/_matrix/broken' }), 502, /./],
    [
      'an identifier would leave the path',
      () => ({ path: '/_matrix/federation/v1/media/download/..' }),
      400,
      /path/,
    ],
  ])('%s', async (_, fields, status, message) => {
    fake.route('/_matrix/text', (__, response) => response.end('hello'))
    fake.answer('/_matrix/large', () => ({ text: 'x'.repeat(2000) }))
    fake.route('/_matrix/silent', () => undefined)
    fake.route('/_matrix/stuck', (__, response) => response.write('{'))
    fake.route('/_matrix/broken', (__, response) => {
      response.writeHead(200, { 'Content-Length': 100 }).write('{')
      setTimeout(() => response.destroy(), 50)
    })
    const answer = await call(one, { destination: fake.serverName, path: '/_matrix/nothing', ...fields() })
    expect([answer.status, answer.body.error]).toEqual([status, expect.stringMatching(message)])
  })

  test('the connection of a request that was given up is closed', async () => {
    const closed = new Promise((resolve) => {
      fake.route('/_matrix/given-up', (_, response) => response.once('close', resolve))
    })
    const answer = await call(one, {
      destination: fake.serverName,
      path: '/_matrix/given-up',
      timeoutMs: 100,
    })
    expect(answer.status).toBe(504)
    await closed
  })

  test('an error of the other server is handed over', async () => {
    fake.answer('/_matrix/error', () => ({ errcode: 'M_FORBIDDEN' }), 403)
    fake.route('/_matrix/proxy', (_, response) => response.writeHead(502).end('<html>'))
    const error = await call(one, { destination: fake.serverName, path: '/_matrix/error' })
    expect(error.body).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
    const proxy = await call(one, { destination: fake.serverName, path: '/_matrix/proxy' })
    expect(proxy.body).toMatchObject({ status: 502, body: {} })
  })
})

test('a server publishes a key that others can take, in canonical form, whichever key is asked for', async () => {
  for (const path of ['/_matrix/key/v2/server', '/_matrix/key/v2/server/ed25519%3Aold']) {
    const text = await (await one.fetch(path)).text()
    const document = JSON.parse(text) as JsonObject
    expect(text).toBe(canonicalJson(document, { strict: true }))
    const [key, ...more] = checkKeyAnswer(document, one.serverName as ServerName, Date.now()) ?? []
    expect(key?.validUntilTs).toBeGreaterThan(Date.now() + 3_600_000)
    expect(more).toEqual([])
  }
})

test('a key is published before it signs, and expires after it was replaced', async () => {
  const namespace = await one.mf.getDurableObjectNamespace('SERVER_KEYS')
  const keys = namespace.get(namespace.idFromName('server-keys')) as unknown as {
    rotate: () => Promise<void>
    signingKey: () => Promise<{ keyId: string }>
    keyAnswer: () => Promise<string>
    publicKeys: () => Promise<{ keyId: string; expiredTs: number | null }[]>
  }
  const { keyId } = await keys.signingKey()
  await keys.rotate()
  await keys.rotate()
  const [next, current, ...more] = await keys.publicKeys()
  expect([current?.keyId, next?.expiredTs, more]).toEqual([keyId, null, []])
  expect(current?.expiredTs).toBeGreaterThan(Date.now())
  expect((await keys.signingKey()).keyId).toBe(keyId)
  const document = JSON.parse(await keys.keyAnswer()) as JsonObject
  expect(new Set(Object.keys(document.verify_keys ?? {}))).toEqual(new Set([keyId, next?.keyId]))
  expect(document).toMatchObject({
    old_verify_keys: {},
    signatures: {
      [one.serverName]: { [keyId]: expect.any(String), [next?.keyId ?? '']: expect.any(String) },
    },
  })
})
