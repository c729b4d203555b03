// Keys of other servers: fetched from them over TLS, from notaries, kept, not asked for all the time.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ServerName } from '../../src/matrix/event.ts'
import { type JsonObject, objectProperty, stringProperty } from '../../src/matrix/json.ts'
import { signJson, verifyJson } from '../../src/matrix/signing.ts'
import { makeAuthority } from '../support/certificates.ts'
import {
  type FakeHomeserver,
  type FakeKey,
  fakeKey,
  keyDocument,
  publicHalf,
  startFakeHomeserver,
} from '../support/fake-homeserver.ts'
import { type FederatedServer, startFederatedServer } from '../support/federated-server.ts'

const keyPath = '/_matrix/key/v2/server'
const authority = makeAuthority()
const fakes: FakeHomeserver[] = []
let notary: FakeHomeserver
let server: FederatedServer
beforeAll(async () => {
  notary = await startFakeHomeserver(authority, 'notary.test')
  fakes.push(notary)
  server = await startFederatedServer(authority, 'hearth.test', {
    vars: { KEY_NOTARIES: notary.serverName },
  })
})
afterAll(async () => {
  await Promise.all(fakes.map((fake) => fake.stop()))
  await server.stop()
})

async function newRemote(name = 'remote.test'): Promise<FakeHomeserver> {
  const remote = await startFakeHomeserver(authority, name)
  fakes.push(remote)
  return remote
}

/** Whether our server finds an object signed by another one, with a key of its own or of that server. */
async function isVerified(remote: FakeHomeserver, key: FakeKey = remote.key): Promise<boolean> {
  const object = signJson({ hello: 'there' }, remote.serverName, key.keyId, key.key)
  const { body } = await server.request('POST', '/__verify', {
    body: { object, serverName: remote.serverName },
  })
  return body.signed === true
}

const keyRequests = ({ requests }: FakeHomeserver) => requests.filter((line) => line.endsWith(keyPath)).length

describe('from the server itself', () => {
  test('keys are fetched once, however many want them at the same time', async () => {
    const remote = await newRemote()
    const verified = await Promise.all(Array.from({ length: 30 }, () => isVerified(remote)))
    expect(new Set(verified)).toEqual(new Set([true]))
    expect(keyRequests(remote)).toBe(1)
  })

  test('a key costs one row', async () => {
    const remote = await newRemote()
    const { d1RowsWritten, fetches } = await server.measure(() => isVerified(remote))
    expect([d1RowsWritten, fetches]).toEqual([1, 1])
    const again = await server.measure(() => isVerified(remote))
    expect([again.d1RowsWritten, again.d1Queries, again.fetches]).toEqual([0, 0, 0])
  })

  test('a server that fails is not asked again at once', async () => {
    const remote = await newRemote()
    remote.answer(keyPath, () => ({}), 500)
    for (let n = 0; n < 3; n++) expect(await isVerified(remote)).toBe(false)
    expect(keyRequests(remote)).toBe(1)
  })

  test('a server is not asked again at once for a key that it did not tell of', async () => {
    const remote = await newRemote()
    for (let n = 0; n < 3; n++) expect(await isVerified(remote, fakeKey('ed25519:made_up'))).toBe(false)
    expect(keyRequests(remote)).toBe(1)
    expect(await isVerified(remote)).toBe(true)
  })

  test.each<[string, (remote: FakeHomeserver) => void]>([
    [
      'is unsigned',
      (remote) =>
        remote.answer(keyPath, () => ({ ...keyDocument(remote.serverName, [remote.key]), signatures: {} })),
    ],
    [
      'is of another server',
      (remote) => remote.answer(keyPath, () => keyDocument('other.test', [remote.key])),
    ],
    [
      'has expired',
      (remote) =>
        remote.answer(keyPath, () => keyDocument(remote.serverName, [remote.key], { valid_until_ts: 1 })),
    ],
    ['is no JSON', (remote) => remote.route(keyPath, (_, response) => response.end('<html>'))],
    [
      'is a redirect',
      (remote) =>
        remote.route(keyPath, (_, response) => response.writeHead(302, { Location: keyPath }).end()),
    ],
    ['never ends', (remote) => remote.route(keyPath, (_, response) => endless(response))],
    [
      'is too large',
      (remote) =>
        remote.answer(keyPath, () =>
          keyDocument(remote.serverName, [remote.key], { padding: 'x'.repeat(70_000) }),
        ),
    ],
  ])('an answer that %s is worth nothing', async (_, spoil) => {
    const remote = await newRemote()
    spoil(remote)
    expect(await isVerified(remote)).toBe(false)
  })

  function endless(response: {
    write: (text: string) => boolean
    once: (event: 'drain', run: () => void) => unknown
  }) {
    while (response.write('x'.repeat(10_000)));
    response.once('drain', () => endless(response))
  }

  test('a server with a certificate of another name is not believed', async () => {
    const remote = await newRemote('right.test')
    const wrong = { ...remote, serverName: `wrong.test:${remote.port}` as ServerName }
    remote.answer(keyPath, () => keyDocument(wrong.serverName, [remote.key]))
    expect(await isVerified(wrong)).toBe(false)
    expect(remote.requests).toEqual([])
  })

  test('a server whose authority nobody knows is not believed', async () => {
    const remote = await startFakeHomeserver(makeAuthority(), 'remote.test')
    fakes.push(remote)
    expect(await isVerified(remote)).toBe(false)
    expect(remote.requests).toEqual([])
  })
})

describe('from a notary', () => {
  const queryPath = '/_matrix/key/v2/query'

  /** A server that does not answer, and what the notary says of it. */
  async function silent(say: (document: JsonObject, remote: FakeHomeserver) => JsonObject[]) {
    const remote = await newRemote()
    remote.answer(keyPath, () => ({}), 500)
    notary.answer(queryPath, () => ({
      server_keys: say(keyDocument(remote.serverName, [remote.key]), remote),
    }))
    return remote
  }
  const notarised = (document: JsonObject) =>
    signJson(document, notary.serverName, notary.key.keyId, notary.key.key)

  test('keys that both have signed are believed', async () => {
    expect(await isVerified(await silent((document) => [notarised(document)]))).toBe(true)
  })

  test.each<[string, (document: JsonObject, remote: FakeHomeserver) => JsonObject[]]>([
    ['the notary has not signed', (document) => [document]],
    [
      'somebody else has signed as the notary',
      (document) => [signJson(document, notary.serverName, notary.key.keyId, fakeKey().key)],
    ],
    ['the server has not signed', (document) => [notarised({ ...document, signatures: {} })]],
    ['are of another server', (_, remote) => [notarised(keyDocument('other.test', [remote.key]))]],
    [
      'have expired',
      (_, remote) => [notarised(keyDocument(remote.serverName, [remote.key], { valid_until_ts: 1 }))],
    ],
    ['are not there', () => []],
  ])('keys that %s are not', async (_, say) => {
    expect(await isVerified(await silent(say))).toBe(false)
  })

  test('which is not asked again at once', async () => {
    const remote = await silent(() => [])
    const before = notary.requests.length
    for (let n = 0; n < 3; n++) expect(await isVerified(remote)).toBe(false)
    expect(notary.requests.length - before).toBe(1)
  })
})

describe('our server as a notary', () => {
  const query = async (remote: FakeHomeserver, search = '') => {
    const { status, body } = await server.request(
      'GET',
      `/_matrix/key/v2/query/${remote.serverName}${search}`,
    )
    expect(status).toBe(200)
    return body.server_keys as JsonObject[]
  }
  async function ownKey() {
    const { body } = await server.request('GET', keyPath)
    const [keyId = ''] = Object.keys(objectProperty(body, 'verify_keys') ?? {})
    const text = stringProperty(objectProperty(objectProperty(body, 'verify_keys'), keyId), 'key')
    return { keyId, key: Buffer.from(text ?? '', 'base64') }
  }

  test('passes on what a server said, with both signatures', async () => {
    const remote = await newRemote()
    const [document] = await query(remote)
    const { keyId, key } = await ownKey()
    if (!document) throw new Error('no document')
    expect(verifyJson(document, server.serverName, keyId, key)).toBe(true)
    expect(verifyJson(document, remote.serverName, remote.key.keyId, remote.key.key.publicKey)).toBe(true)
    expect(document.verify_keys).toEqual({ [remote.key.keyId]: { key: publicHalf(remote.key) } })
  })

  test('goes on when the server has gone', async () => {
    const remote = await newRemote()
    expect(await query(remote)).toHaveLength(1)
    await remote.stop()
    fakes.splice(fakes.indexOf(remote), 1)
    expect(await query(remote, `?minimum_valid_until_ts=${Date.now() + 10 ** 9}`)).toHaveLength(1)
  })

  test('answers for several servers, and leaves out those it knows nothing of', async () => {
    const [remote, silent] = [await newRemote(), await newRemote()]
    silent.answer(keyPath, () => ({}), 500)
    const { body } = await server.request('POST', '/_matrix/key/v2/query', {
      body: {
        server_keys: {
          [remote.serverName]: { [remote.key.keyId]: { minimum_valid_until_ts: Date.now() } },
          [silent.serverName]: {},
          [server.serverName]: {},
        },
      },
    })
    const names = (body.server_keys as JsonObject[]).map((document) => document.server_name)
    expect(new Set(names)).toEqual(new Set([server.serverName, remote.serverName]))
  })

  test('knows keys that a server has given up', async () => {
    const remote = await newRemote()
    const expired = fakeKey('ed25519:expired')
    const old_verify_keys = { [expired.keyId]: { key: publicHalf(expired), expired_ts: 1000 } }
    remote.answer(keyPath, () => keyDocument(remote.serverName, [remote.key], { old_verify_keys }))
    const { body } = await server.request('POST', '/_matrix/key/v2/query', {
      body: { server_keys: { [remote.serverName]: { [expired.keyId]: {} } } },
    })
    expect(body.server_keys).toMatchObject([{ old_verify_keys }])
  })

  test('names the field that is wrong', async () => {
    for (const [body, field] of [
      [{}, 'server_keys'],
      [{ server_keys: { 'a b': {} } }, 'server_keys'],
      [
        { server_keys: { 'a.test': { 'ed25519:1': { minimum_valid_until_ts: -1 } } } },
        'minimum_valid_until_ts',
      ],
    ] as [JsonObject, string][]) {
      const answer = await server.request('POST', '/_matrix/key/v2/query', { body })
      expect([answer.status, answer.body.error]).toEqual([400, expect.stringContaining(field)])
    }
    expect((await server.request('GET', '/_matrix/key/v2/query/a%20b')).status).toBe(400)
    expect(
      (await server.request('GET', '/_matrix/key/v2/query/a.test?minimum_valid_until_ts=x')).status,
    ).toBe(400)
  })
})

test('keys are kept over a restart', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'hearth-key-ring-'))
  const remote = await newRemote()
  const object = signJson({ a: 1 }, remote.serverName, remote.key.keyId, remote.key.key)
  for (const _ of [1, 2]) {
    const restarted = await startFederatedServer(authority, 'hearth.test', { dataDir })
    const { body } = await restarted.request('POST', '/__verify', {
      body: { object, serverName: remote.serverName },
    })
    expect(body).toEqual({ signed: true })
    await restarted.stop()
  }
  expect(keyRequests(remote)).toBe(1)
  await rm(dataDir, { recursive: true, force: true })
})
