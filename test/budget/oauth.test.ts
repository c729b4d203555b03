// What the OAuth 2.0 API costs. Nothing of it is on the way of anything else.

import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  agree,
  logIn,
  nativeClient,
  newOauthClient,
  type OauthClient,
  scopeOf,
  signedIn,
  startOauthServer,
  submitTo,
  webClient,
} from '../support/oauth-client.ts'
import type { TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let client: OauthClient
beforeAll(async () => {
  server = await startOauthServer({ SESSION_CACHE: 'off', PRESENCE: 'off' })
  await server.register('alice')
  client = await newOauthClient(server)
})
afterAll(() => server.stop())

it('a login is eleven rows of D1', async () => {
  const visit = await server.measure(async () => {
    await signedIn(server, 'alice')
  })
  expect(visit.d1RowsWritten).toBeLessThanOrEqual(2)
  const alice = await signedIn(server, 'alice')
  const request = client.request('DEVICE')
  let code = ''
  const consent = await server.measure(async () => {
    code = (await agree(alice, request.path)).get('code') ?? ''
  })
  expect([consent.d1RowsWritten, consent.doRequests]).toEqual([2, 1])
  const exchange = await server.measure(async () => {
    expect((await client.exchange(code, request)).status).toBe(200)
  })
  expect([exchange.d1RowsWritten, exchange.doRequests]).toEqual([7, 2])
})

it('a refresh costs one row more than at /refresh', async () => {
  const login = {
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: 'alice' },
    password: 'password of alice',
  }
  const legacy = await server.request('POST', '/_matrix/client/v3/login', {
    body: { ...login, refresh_token: true },
  })
  const before = await server.measure(async () => {
    await server.request('POST', '/_matrix/client/v3/refresh', {
      body: { refresh_token: textOf(legacy.body, 'refresh_token') },
    })
  })
  const tokens = await logIn(client, await signedIn(server, 'alice'), 'REFRESH')
  const refresh = await server.measure(async () => {
    expect((await client.refresh(tokens.refresh_token)).status).toBe(200)
  })
  expect(refresh.d1Queries).toBe(before.d1Queries)
  expect(refresh.d1RowsWritten).toBe(before.d1RowsWritten + 1)
})

it('a refresh that is asked for again costs two rows more, and its first use two', async () => {
  const tokens = await logIn(client, await signedIn(server, 'alice'), 'AGAIN')
  const refresh = async () => (await client.refresh(tokens.refresh_token)).body
  const first = await server.measure(refresh)
  let last = ''
  const again = await server.measure(async () => {
    last = textOf(await refresh(), 'access_token')
  })
  const used = await server.measure(() =>
    server.request('GET', '/_matrix/client/v3/account/whoami', { token: last }),
  )
  expect([first.d1RowsWritten, again.d1RowsWritten, used.d1RowsWritten]).toEqual([6, 8, 2])
})

it('a revocation is seven rows, and none where there is nothing to end', async () => {
  const tokens = await logIn(client, await signedIn(server, 'alice'), 'REVOKED')
  const revoke = () => client.revoke(tokens.access_token)
  const first = await server.measure(revoke)
  expect([first.d1RowsWritten, first.doRequests]).toEqual([7, 1])
  const nothing = await server.measure(revoke)
  expect([nothing.d1RowsWritten, nothing.doRequests]).toEqual([0, 0])
})

it('a device that asks whether somebody has agreed writes one row each time', async () => {
  const native = await newOauthClient(server, nativeClient)
  const { body } = await native.post('device-authorization', { scope: scopeOf('TELEVISION') })
  const poll = () =>
    native.post('token', {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: textOf(body, 'device_code'),
    })
  const pending = await server.measure(poll)
  expect([pending.d1RowsWritten, pending.doRequests]).toEqual([1, 0])
  const alice = await signedIn(server, 'alice')
  const page = await alice.open(textOf(body, 'verification_uri_complete').replace(server.url, ''))
  const agreed = await server.measure(() => submitTo(alice, page, 'link', { decision: 'allow' }))
  expect(agreed.d1RowsWritten).toBe(1)
  const granted = await server.measure(poll)
  expect([granted.d1RowsWritten, granted.doRequests]).toEqual([6, 2])
})

it('a request of its sessions costs what others cost', async () => {
  const { token } = await server.register('bob')
  const tokens = await logIn(client, await signedIn(server, 'alice'), 'REQUESTS')
  const cost = async (used: string) => {
    const ask = () => server.request('GET', '/_matrix/client/v3/account/whoami', { token: used })
    await ask()
    return await server.measure(async () => expect((await ask()).status).toBe(200))
  }
  expect(await cost(tokens.access_token)).toEqual(await cost(token))
})

it('looking around writes nothing, and a client that is known neither', async () => {
  const around = await server.measure(async () => {
    await server.request('GET', '/_matrix/client/v1/auth_metadata')
    await server.fetch(client.request('LOOK').path)
  })
  expect([around.d1RowsWritten, around.doRequests]).toEqual([0, 0])
  const known = await server.measure(async () => {
    await newOauthClient(server)
  })
  expect([known.d1RowsWritten, known.doRequests]).toEqual([0, 0])
  const another = await server.measure(async () => {
    await newOauthClient(server, { ...webClient, client_name: 'Another' })
  })
  expect(another.d1RowsWritten).toBeLessThanOrEqual(2)
})

it('a registration does not read those of others', async () => {
  const db = await server.mf.getD1Database('DB')
  const insert = db.prepare("INSERT INTO oauth_clients VALUES (?, '{}', ?)")
  await db.batch(Array.from({ length: 200 }, (_, n) => insert.bind(`other ${n}`, Date.now())))
  const another = await server.measure(async () => {
    await newOauthClient(server, { ...webClient, client_name: 'One of many' })
  })
  expect(another.d1RowsRead).toBeLessThan(20)
})
