// What single sign-on costs. Nothing of it is on the way of anything else.

import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  clientId,
  clientSecret,
  type FakeProvider,
  startFakeProvider,
} from '../support/fake-openid-provider.ts'
import { freePort } from '../support/launcher.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { newVisitor } from '../support/sso-visitor.ts'

const redirectUrl = 'https://known.test/'

let server: TestServer
let fake: FakeProvider
beforeAll(async () => {
  fake = await startFakeProvider()
  const { issuer } = fake
  const provider = { id: 'fake', name: 'Fake', issuer, client_id: clientId, client_secret: clientSecret }
  const port = await freePort()
  server = await startServer({
    port,
    vars: {
      PUBLIC_BASE_URL: `http://127.0.0.1:${port}`,
      SSO_PROVIDERS: JSON.stringify([{ ...provider, register: true }]),
      SSO_CLIENT_WHITELIST: redirectUrl,
    },
  })
})
afterAll(async () => {
  await server.stop()
  await fake.stop()
})

it('a login is seven rows of D1, and one request to the provider once it is known', async () => {
  const claims = { sub: 'alice', preferred_username: 'alice', name: 'Alice' }
  const signIn = () =>
    server.measure(async () => {
      expect((await newVisitor(server.url).signIn(fake, claims, { redirectUrl })).status).toBe(302)
    })
  const first = await signIn()
  // With metadata and keys of the provider, and the account.
  expect(first.fetches).toBe(3)
  expect(first.d1RowsWritten).toBeLessThanOrEqual(11)
  const again = await signIn()
  expect([again.fetches, again.doRequests]).toEqual([1, 0])
  expect(again.d1RowsWritten).toBeLessThanOrEqual(7)
  expect(again.subrequests).toBeLessThanOrEqual(10)
})

it('who only looks where one can sign in costs nothing', async () => {
  const counts = await server.measure(async () => {
    await server.request('GET', '/_matrix/client/v3/login')
  })
  expect([counts.d1Queries, counts.doRequests, counts.fetches]).toEqual([0, 0, 0])
})
