// Attack: getting into an account without its credential, or staying in with one that has ended.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { refusal } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
  await server.register('alice')
})
afterAll(() => server.stop())

const api = '/_matrix/client/v3'
const user = { type: 'm.id.user', user: 'alice' }
const password = 'password of alice'

const login = (body: JsonValue) => server.request('POST', `${api}/login`, { body })
const whoami = (token: string) => server.request('GET', `${api}/account/whoami`, { token })

describe('login without a credential', () => {
  const refused: [string, JsonValue][] = [
    ['no password', { type: 'm.login.password', identifier: user }],
    ['an empty password', { type: 'm.login.password', identifier: user, password: '' }],
    ['a null password', { type: 'm.login.password', identifier: user, password: null }],
    ['a password that is true', { type: 'm.login.password', identifier: user, password: true }],
    ['a list of passwords', { type: 'm.login.password', identifier: user, password: [password] }],
    ['a wrong password', { type: 'm.login.password', identifier: user, password: 'Password of alice' }],
    ['a password and nobody', { type: 'm.login.password', password }],
    [
      'the password of another user',
      { type: 'm.login.password', identifier: user, password: 'password of bob' },
    ],
    ['a dummy type', { type: 'm.login.dummy', identifier: user, password }],
    ['no type', { identifier: user, password }],
    ['an invented token', { type: 'm.login.token', token: 'invented' }],
    ['an empty token', { type: 'm.login.token', token: '' }],
    ['the type of application services', { type: 'm.login.application_service', identifier: user }],
    [
      'an e-mail address that nobody bound',
      {
        type: 'm.login.password',
        identifier: { type: 'm.id.thirdparty', medium: 'email', address: 'alice@test.local' },
        password,
      },
    ],
    ['an empty object', {}],
    ['a list', []],
    ['null', null],
  ]
  test.each(refused)('%s gets no token', async (_, body) => {
    const answer = await login(body)
    expect([400, 401, 403]).toContain(answer.status)
    expect(answer.body).toEqual({ errcode: expect.stringMatching(/^M_/), error: expect.any(String) })
  })

  test('while the right password does', async () => {
    const answer = await login({ type: 'm.login.password', identifier: user, password })
    expect(answer).toMatchObject({ status: 200, body: { user_id: '@alice:test.local' } })
  })
})

test.each(['', 'null', 'undefined', 'x', 'Bearer', '0', '{}', '%00', "' OR 1=1 --"])(
  'the token %j is nobody',
  async (token) => {
    expect((await whoami(token)).status).toBe(401)
    expect(await whoami(token)).not.toHaveProperty('body.user_id')
  },
)

// Design: masquerading is for application services, whose tokens are no session's.
test('a session does not act as somebody else by asking to', async () => {
  await server.register('victim')
  const mallory = await server.register('mallory')
  const asVictim = `user_id=${encodeURIComponent('@victim:test.local')}`
  const answer = await server.request('GET', `${api}/account/whoami?${asVictim}`, { token: mallory.token })
  expect(answer.body['user_id']).toBe(mallory.userId)
  const path = `${api}/profile/${encodeURIComponent('@victim:test.local')}/displayname?${asVictim}`
  expect(await server.request('PUT', path, { token: mallory.token, body: { displayname: 'pwned' } })).toEqual(
    refusal(403, 'M_FORBIDDEN'),
  )
})

test('nobody registers as an application service without being one', async () => {
  const body = { type: 'm.login.application_service', username: '_irc_bot' }
  const answer = await server.request('POST', `${api}/register`, { body })
  expect(answer.status).toBeGreaterThanOrEqual(400)
  expect(answer.body).not.toHaveProperty('access_token')
})

// Whoever begins it chooses the new password, and needs but somebody who confirms.
test('the page for a password warns of requests that nobody is signed in for', async () => {
  const { token } = await server.register('warned')
  const body = { new_password: 'of mallory' }
  const page = async (options: { token?: string }) => {
    const asked = await server.request('POST', `${api}/account/password`, { ...options, body })
    const session = textOf(asked.body, 'session')
    const shown = await server.fetch(`${api}/auth/m.login.password/fallback/web?session=${session}`)
    return await shown.text()
  }
  expect(await page({})).toContain('If you were sent a link to this page')
  expect(await page({ token })).not.toContain('If you were sent a link to this page')
})

describe('a token after it has ended', () => {
  const loggedIn = async (localpart: string) => {
    const identifier = { type: 'm.id.user', user: localpart }
    const answer = await login({
      type: 'm.login.password',
      identifier,
      password: `password of ${localpart}`,
      refresh_token: true,
    })
    expect(answer.status).toBe(200)
    return {
      access: textOf(answer.body, 'access_token'),
      refresh: textOf(answer.body, 'refresh_token'),
      deviceId: textOf(answer.body, 'device_id'),
    }
  }
  const refresh = (token: string) =>
    server.request('POST', `${api}/refresh`, { body: { refresh_token: token } })
  const post = (path: string, token: string, body: JsonObject = {}) =>
    server.request('POST', `${api}${path}`, { token, body })
  const proof = (localpart: string) => ({
    type: 'm.login.password',
    identifier: { type: 'm.id.user', user: localpart },
    password: `password of ${localpart}`,
  })

  const endings: [
    string,
    (localpart: string, tokens: { access: string; deviceId: string }, other: string) => Promise<unknown>,
  ][] = [
    ['logout', (_, { access }) => post('/logout', access)],
    ['logout of all devices', (_, __, other) => post('/logout/all', other)],
    [
      'deletion of the device',
      (localpart, { deviceId }, other) =>
        server.request('DELETE', `${api}/devices/${deviceId}`, {
          token: other,
          body: { auth: proof(localpart) },
        }),
    ],
    [
      'deletion of several devices',
      (localpart, { deviceId }, other) =>
        post('/delete_devices', other, { devices: [deviceId], auth: proof(localpart) }),
    ],
    [
      'a change of the password',
      (localpart, _, other) =>
        post('/account/password', other, { new_password: 'another', auth: proof(localpart) }),
    ],
    ['deactivation', (localpart, _, other) => post('/account/deactivate', other, { auth: proof(localpart) })],
    [
      'another login on the device',
      async (localpart, { deviceId }) => await login({ ...proof(localpart), device_id: deviceId }),
    ],
  ]
  test.each(endings)('by %s is nobody, and refreshes nothing', async (name, end) => {
    const localpart = name.replaceAll(' ', '-')
    const other = await server.register(localpart)
    const tokens = await loggedIn(localpart)
    expect((await whoami(tokens.access)).status).toBe(200)
    expect(await end(localpart, tokens, other.token)).toMatchObject({ status: 200 })
    expect(await whoami(tokens.access)).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
    const again = await refresh(tokens.refresh)
    expect([401, 403]).toContain(again.status)
    expect(again.body).not.toHaveProperty('access_token')
  })

  test('of refreshing refreshes nothing once its successor is used', async () => {
    await server.register('refresher')
    const old = await loggedIn('refresher')
    const fresh = await refresh(old.refresh)
    expect((await whoami(textOf(fresh.body, 'access_token'))).status).toBe(200)
    const again = await refresh(old.refresh)
    expect(again.status).toBe(401)
    expect(again.body).not.toHaveProperty('access_token')
  })

  test('does not come back with a poll that waited for it', async () => {
    const { token } = await server.register('poller')
    const first = await server.request('GET', `${api}/sync`, { token })
    const since = textOf(first.body, 'next_batch')
    const poll = server.request('GET', `${api}/sync?timeout=20000&since=${since}`, { token })
    await new Promise((waited) => setTimeout(waited, 300))
    await post('/logout', token)
    expect(await poll).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
  })
})
