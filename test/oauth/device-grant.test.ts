// Clients without a browser. Specification: client-server API, "Device authorisation flow"; RFC 8628.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import {
  nativeClient,
  newOauthClient,
  oauthPath,
  type OauthClient,
  passSignIn,
  scopeOf,
  signedIn,
  startOauthServer,
  submitTo,
} from '../support/oauth-client.ts'
import type { TestServer } from '../support/server.ts'
import { newVisitor, type Visitor } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let client: OauthClient
let alice: Visitor
beforeAll(async () => {
  server = await startOauthServer()
  await server.register('alice')
  client = await newOauthClient(server, nativeClient)
  alice = await signedIn(server, 'alice')
})
afterAll(() => server.stop())

const begin = async (deviceId: string): Promise<JsonObject> => {
  const { status, body } = await client.post('device-authorization', { scope: scopeOf(deviceId) })
  expect(status, JSON.stringify(body)).toBe(200)
  return body
}
const poll = (begun: JsonObject, by = client) =>
  by.post('token', {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    device_code: textOf(begun, 'device_code'),
  })
const rested = async () => {
  const db = await server.mf.getD1Database('DB')
  await db.prepare('UPDATE oauth_device_codes SET next_poll_at = 0').run()
}
const pathOf = (begun: JsonObject) => textOf(begun, 'verification_uri_complete').replace(server.url, '')

it('MSC4341: somebody agrees with another browser, and the client gets in', async () => {
  const begun = await begin('TELEVISION')
  expect(begun).toEqual({
    device_code: expect.any(String),
    user_code: expect.stringMatching(/^[B-Z]{4}-[B-Z]{4}$/),
    verification_uri: `${server.url}${oauthPath}/link`,
    verification_uri_complete: `${server.url}${oauthPath}/link?user_code=${textOf(begun, 'user_code')}`,
    expires_in: 900,
    interval: 5,
  })
  expect((await poll(begun)).body['error']).toBe('authorization_pending')
  // Too early.
  expect((await poll(begun)).body['error']).toBe('slow_down')
  const visitor = newVisitor(server.url)
  const consent = await passSignIn(visitor, await visitor.open(pathOf(begun)), 'alice')
  expect(consent.text).toContain(textOf(begun, 'user_code'))
  expect(consent.text).toContain('TELEVISION')
  const done = await submitTo(visitor, consent, 'link', { decision: 'allow' })
  expect(done.text).toContain('Done')
  await rested()
  const { status, body } = await poll(begun)
  expect(status).toBe(200)
  expect(body).toMatchObject({
    token_type: 'Bearer',
    scope: scopeOf('TELEVISION'),
    refresh_token: expect.any(String),
  })
  const token = textOf(body, 'access_token')
  const { body: me } = await server.request('GET', '/_matrix/client/v3/account/whoami', { token })
  expect(me).toMatchObject({ user_id: '@alice:test.local', device_id: 'TELEVISION' })
  // Once.
  expect((await poll(begun)).body['error']).toBe('invalid_grant')
})

it('the log says which client was let in', async () => {
  const begun = await begin('LOGGED')
  const page = await alice.open(pathOf(begun))
  expect((await submitTo(alice, page, 'link', { decision: 'allow' })).status).toBe(200)
  const allowed = server.logs.filter((line) => line.includes('oauth_allowed')).at(-1)
  expect(allowed).toContain(`"client_id":"${client.clientId}"`)
})

it('somebody types the code in, however', async () => {
  const begun = await begin('TYPED')
  const page = await alice.open(`${oauthPath}/link`)
  expect(page.text).toContain('name="user_code"')
  const typed = ` ${textOf(begun, 'user_code').toLowerCase().replace('-', ' ')} `
  const { text } = await alice.open(`${oauthPath}/link?user_code=${encodeURIComponent(typed)}`)
  expect(text).toContain('TYPED')
  expect((await alice.open(`${oauthPath}/link?user_code=BBBB-BBBB`)).status).toBe(404)
})

it('a link with the code in it asks all the same, and says who gets in and what may be wrong', async () => {
  const begun = await begin('LINKED')
  const { text, headers } = await alice.open(pathOf(begun))
  expect(text).toContain('client.test')
  expect(text).toContain('If somebody sent it to you')
  expect(text).toContain('full access')
  expect(headers.get('Cache-Control')).toBe('no-store')
  expect((await poll(begun)).body['error']).toBe('authorization_pending')
})

it('nobody tries many codes', async () => {
  const limited = await startOauthServer({ RATE_LIMITS: 'on' })
  await limited.register('alice')
  const guesser = await signedIn(limited, 'alice')
  const guess = (n: number) =>
    guesser.open(`${oauthPath}/link?user_code=BBBB-BBB${'BCDFGHJKLMNPQRSTVWXZ'.charAt(n % 20)}`)
  const statuses: number[] = []
  for (let n = 0; n < 45; n += 1) statuses.push((await guess(n)).status)
  // The limit is twenty a minute, and a new minute may begin meanwhile.
  expect(new Set(statuses)).toEqual(new Set([404, 429]))
  await limited.stop()
})

it('somebody says no', async () => {
  const begun = await begin('DENIED')
  const page = await alice.open(pathOf(begun))
  await submitTo(alice, page, 'link', { decision: 'deny' })
  expect((await poll(begun)).body['error']).toBe('access_denied')
  // And that is that.
  expect((await submitTo(alice, page, 'link', { decision: 'allow' })).status).toBe(404)
})

it('who asks too often waits longer each time', async () => {
  const begun = await begin('FAST')
  for (let n = 0; n < 3; n += 1) await poll(begun)
  const db = await server.mf.getD1Database('DB')
  const interval = await db
    .prepare("SELECT interval_ms FROM oauth_device_codes WHERE device_id = 'FAST'")
    .first('interval_ms')
  expect(interval).toBe(15_000)
})

describe('nobody gets in', () => {
  it('by a consent of another site', async () => {
    const begun = await begin('FORGED')
    const page = await alice.open(pathOf(begun))
    const victim = await signedIn(server, 'alice')
    expect((await submitTo(victim, page, 'link', { decision: 'allow' })).status).toBe(403)
    expect((await poll(begun)).body['error']).toBe('authorization_pending')
  })

  it('by a code that has expired', async () => {
    const begun = await begin('LATE')
    const page = await alice.open(pathOf(begun))
    const db = await server.mf.getD1Database('DB')
    await db.prepare("UPDATE oauth_device_codes SET expires_at = 1 WHERE device_id = 'LATE'").run()
    expect((await submitTo(alice, page, 'link', { decision: 'allow' })).status).toBe(404)
    expect((await poll(begun)).body['error']).toBe('expired_token')
  })

  it('by a code of another client', async () => {
    const other = await newOauthClient(server, { ...nativeClient, client_name: 'Other' })
    expect((await poll(await begin('FOREIGN'), other)).body['error']).toBe('invalid_grant')
  })

  it('who has not registered for it, nor without a scope', async () => {
    const web = await newOauthClient(server)
    const refused = await web.post('device-authorization', { scope: scopeOf('WEB') })
    expect([refused.status, refused.body['error']]).toEqual([400, 'unauthorized_client'])
    expect((await client.post('device-authorization', {})).body['error']).toBe('invalid_scope')
    const unknown = await client.post('device-authorization', { client_id: 'nobody', scope: scopeOf('X') })
    expect(unknown.body['error']).toBe('invalid_client')
  })
})
