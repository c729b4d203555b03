// Registration of clients. Specification: client-server API, "Dynamic client registration flow"; RFC 7591.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { parseClientMetadata } from '../../src/oauth/client-metadata.ts'
import {
  logIn,
  nativeClient,
  newOauthClient,
  oauthPath,
  signedIn,
  startOauthServer,
  webClient,
} from '../support/oauth-client.ts'
import type { TestServer } from '../support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startOauthServer()
})
afterAll(() => server.stop())

const register = (body: JsonObject) => server.request('POST', `${oauthPath}/register-client`, { body })

it('MSC2966: answers 201 with the id and all that was registered', async () => {
  const { status, headers, body } = await register({
    ...webClient,
    'client_name#fr': 'Exemple',
    logo_uri: 'https://client.test/logo.png',
    grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:token-exchange'],
    response_types: ['code', 'id_token'],
    token_endpoint_auth_method: 'none',
    software_id: 'x',
  })
  expect([status, headers.get('Cache-Control')]).toEqual([201, 'no-store'])
  expect(body).toEqual({
    client_id: expect.stringMatching(/^[\w-]{32}$/),
    ...webClient,
    logo_uri: 'https://client.test/logo.png',
    response_types: ['code'],
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'none',
    application_type: 'web',
  })
})

it('MSC2966: the same client twice is one client, another is another', async () => {
  const ids = await Promise.all(
    [webClient, { ...webClient, 'client_name#fr': 'Exemple' }, { ...webClient, client_name: 'B' }].map(
      async (metadata) => (await register(metadata)).body['client_id'],
    ),
  )
  expect(ids[0]).toBe(ids[1])
  expect(ids[2]).not.toBe(ids[0])
  const db = await server.mf.getD1Database('DB')
  const count = await db
    .prepare('SELECT count(*) AS n FROM oauth_clients WHERE client_id = ?')
    .bind(ids[0])
    .first('n')
  expect(count).toBe(1)
})

describe('MSC2966: refuses', () => {
  it.each<[string, JsonValue, string]>([
    ['client_uri', null, 'invalid_client_metadata'],
    ['client_uri', 'http://client.test/', 'invalid_client_metadata'],
    ['client_uri', 'https://user@client.test/', 'invalid_client_metadata'],
    ['client_uri', 'https://test/', 'invalid_client_metadata'],
    // As a name without a dot.
    ['client_uri', 'https://test./', 'invalid_client_metadata'],
    ['client_uri', 'https://.test/', 'invalid_client_metadata'],
    ['client_uri', 'https://*.client.test/', 'invalid_client_metadata'],
    ['client_uri', 'javascript:alert(1)', 'invalid_client_metadata'],
    ['client_uri', 7, 'invalid_client_metadata'],
    ['client_name', 7, 'invalid_client_metadata'],
    ['client_name', 'x'.repeat(257), 'invalid_client_metadata'],
    ['tos_uri', 'https://other.test/', 'invalid_client_metadata'],
    ['tos_uri', 'http://client.test/', 'invalid_client_metadata'],
    ['policy_uri', 'https://user:pass@client.test/', 'invalid_client_metadata'],
    ['policy_uri', 'javascript:alert(1)//https://client.test/', 'invalid_client_metadata'],
    ['logo_uri', 'data:image/png;base64,AAAA', 'invalid_client_metadata'],
    ['redirect_uris', [], 'invalid_redirect_uri'],
    ['redirect_uris', null, 'invalid_redirect_uri'],
    ['redirect_uris', 'https://client.test/', 'invalid_redirect_uri'],
    ['redirect_uris', ['https://client.test/ok', 'https://evil.test/'], 'invalid_redirect_uri'],
    ['redirect_uris', ['https://client.test/#a'], 'invalid_redirect_uri'],
    ['redirect_uris', ['javascript:alert(1)'], 'invalid_redirect_uri'],
    ['redirect_uris', [7], 'invalid_redirect_uri'],
    ['response_types', ['token'], 'invalid_client_metadata'],
    ['grant_types', ['authorization_code'], 'invalid_client_metadata'],
    ['grant_types', ['refresh_token'], 'invalid_client_metadata'],
    ['grant_types', 'refresh_token', 'invalid_client_metadata'],
    ['token_endpoint_auth_method', 'client_secret_basic', 'invalid_client_metadata'],
    ['application_type', 'desktop', 'invalid_client_metadata'],
  ])('%s = %j', async (field, value, error) => {
    const answer = await register({ ...webClient, [field]: value })
    expect(answer).toEqual(expect.objectContaining({ status: 400, body: expect.objectContaining({ error }) }))
  })

  it('what is no JSON object', async () => {
    for (const body of ['', '[]', 'x', '{"client_uri":']) {
      const response = await server.fetch(`${oauthPath}/register-client`, { method: 'POST', body })
      expect([response.status, JSON.parse(await response.text())]).toEqual([
        400,
        expect.objectContaining({ error: 'invalid_client_metadata' }),
      ])
    }
  })
})

it('MSC2966: native clients have redirect URIs that web clients may not have', async () => {
  expect((await register(nativeClient)).status).toBe(201)
  expect((await register({ ...nativeClient, application_type: 'web' })).body['error']).toBe(
    'invalid_redirect_uri',
  )
})

it('a client that has no browser needs no redirect URI', async () => {
  const grants = ['refresh_token', 'urn:ietf:params:oauth:grant-type:device_code']
  const { status, body } = await register({ client_uri: 'https://client.test/', grant_types: grants })
  expect([status, body['redirect_uris'], body['response_types']]).toEqual([201, [], []])
})

it.each([
  [' A\u202eB\u0000\u200b\n ', 'AB'],
  ['A\n\n B\u2028C', 'A B C'],
  ['A\u00a0\u00a0\u3000B', 'A B'],
  ['\ue000\u{10ffff}A', 'A'],
  // Letters that show nothing.
  ['\u3164\u115f\uffa0\u2800', undefined],
  ['A\u0301\u0301\u0301\u0301\u0301B', 'A\u0301\u0301B'],
])('a name does not mislead by what cannot be seen: %j', (given, expected) => {
  const { client_name: name } = parseClientMetadata({ ...webClient, client_name: given })
  expect(name).toBe(expected)
})

it('no client takes much room', async () => {
  const long = (n: number) => `https://client.test/${'x'.repeat(1900)}${n}`
  const answer = await register({ ...webClient, redirect_uris: Array.from({ length: 8 }, (_, n) => long(n)) })
  expect([answer.status, answer.body['error']]).toEqual([400, 'invalid_client_metadata'])
})

it('MSC2966: clients without a session are forgotten after a day, those with one never', async () => {
  await server.register('alice')
  const used = await newOauthClient(server, { ...webClient, client_name: 'used' })
  const unused = await newOauthClient(server, { ...webClient, client_name: 'unused' })
  const recent = await newOauthClient(server, { ...webClient, client_name: 'recent' })
  const alice = await signedIn(server, 'alice')
  const tokens = await logIn(used, alice, 'USED')
  const db = await server.mf.getD1Database('DB')
  const age = (clientId: string) =>
    db.prepare('UPDATE oauth_clients SET registered_at = 1 WHERE client_id = ?').bind(clientId).run()
  await age(used.clientId)
  await age(unused.clientId)
  await newOauthClient(server, { ...webClient, client_name: 'another' })
  const { results } = await db.prepare('SELECT client_id FROM oauth_clients').all<{ client_id: string }>()
  const kept = results.map(({ client_id: id }) => id)
  expect([used, unused, recent].map(({ clientId }) => kept.includes(clientId))).toEqual([true, false, true])
  expect((await used.refresh(tokens.refresh_token)).status).toBe(200)
  // Whoever has a session in another browser registers anew at the start of each authorization.
  expect((await newOauthClient(server, { ...webClient, client_name: 'unused' })).clientId).toBe(
    unused.clientId,
  )
})

it('registrations are limited by address', async () => {
  const limited = await startOauthServer({ RATE_LIMITS: 'on' })
  const asked = () => limited.request('POST', `${oauthPath}/register-client`, { body: webClient })
  const answers = await Promise.all(Array.from({ length: 40 }, asked))
  const refused = answers.find(({ status }) => status !== 201)
  expect([refused?.status, refused?.body['error'], refused?.headers.get('Retry-After')]).toEqual([
    503,
    'temporarily_unavailable',
    '10',
  ])
  await limited.stop()
})
