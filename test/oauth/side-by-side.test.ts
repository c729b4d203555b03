// The legacy API beside the OAuth 2.0 API: nothing of it goes, for nobody. Specification: client-server API, "Authentication";
// application service API, "Server admin style permissions".

import { afterAll, beforeAll, expect, it } from 'vitest'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'
import { postForm, startOauthServer } from '../support/oauth-client.ts'
import type { TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const api = '/_matrix/client/v3'

let bridge: TestAppservice
let server: TestServer
beforeAll(async () => {
  bridge = await startAppservice('bridge')
  server = await startOauthServer(bridge.vars())
})
afterAll(async () => {
  await server.stop()
  await bridge.stop()
})

it('MSC4190: application services register users and log them in: the OAuth 2.0 API is never the only one', async () => {
  const type = 'm.login.application_service'
  const { body } = await server.request('GET', `${api}/login`)
  const types = (body['flows'] as { type: string }[]).map((flow) => flow.type)
  expect(types).toEqual(expect.arrayContaining(['m.login.password', 'm.login.token', type]))
  const registered = await server.request('POST', `${api}/register`, {
    token: bridge.asToken,
    body: { type, username: '_bridge_one' },
  })
  expect(registered.body).toMatchObject({
    user_id: '@_bridge_one:test.local',
    access_token: expect.any(String),
  })
  const login = await server.request('POST', `${api}/login`, {
    token: bridge.asToken,
    body: { type, identifier: { type: 'm.id.user', user: '_bridge_one' } },
  })
  expect(login.status).toBe(200)
})

it('an application service revokes its users’ tokens, and nobody its own', async () => {
  const { body } = await server.request('POST', `${api}/register`, {
    token: bridge.asToken,
    body: { type: 'm.login.application_service', username: '_bridge_two' },
  })
  const whoami = (token: string) => server.request('GET', `${api}/account/whoami`, { token })
  const token = textOf(body, 'access_token')
  expect((await postForm(server, 'revoke', { token })).status).toBe(200)
  expect((await whoami(token)).status).toBe(401)
  expect((await postForm(server, 'revoke', { token: bridge.asToken })).status).toBe(200)
  expect((await whoami(bridge.asToken)).status).toBe(200)
})

it('guests come in as ever', async () => {
  const { status, body } = await server.request('POST', `${api}/register?kind=guest`, { body: {} })
  expect([status, typeof body['access_token']]).toEqual([200, 'string'])
})
