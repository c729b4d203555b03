// Login, refresh, logout and whoami over HTTP.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { startServer, type TestServer, testServerName } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const whoamiPath = '/_matrix/client/v3/account/whoami'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

const passwordOf = (localpart: string) => `password of ${localpart}`
const loginAs = (localpart: string, more: JsonObject = {}) =>
  server.request('POST', '/_matrix/client/v3/login', {
    body: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: localpart },
      password: passwordOf(localpart),
      ...more,
    },
  })
const whoami = (token: string) => server.request('GET', whoamiPath, { token })
const d1 = async (sql: string, ...values: (string | number)[]) => {
  const db = await server.mf.getD1Database('DB')
  return await db
    .prepare(sql)
    .bind(...values)
    .run()
}

describe('login', () => {
  it('names its flows', async () => {
    const { status, body } = await server.request('GET', '/_matrix/client/v3/login')
    expect(status).toBe(200)
    expect(body).toEqual({
      flows: [{ type: 'm.login.password' }, { type: 'm.login.token', get_login_token: true }],
    })
  })

  it('takes a user id, a localpart, the old field and capitals', async () => {
    const { userId } = await server.register('alice')
    const identifiers = [userId, 'alice', `@ALICE:${testServerName}`, 'Alice']
    for (const user of identifiers) {
      const password = passwordOf('alice')
      const { status, body } = await loginAs('alice', { identifier: { type: 'm.id.user', user }, password })
      expect(status).toBe(200)
      expect(body).toMatchObject({ user_id: userId, home_server: testServerName })
      expect((await whoami(textOf(body, 'access_token'))).body).toMatchObject({ user_id: userId })
    }
    const { status } = await server.request('POST', '/_matrix/client/v3/login', {
      body: { type: 'm.login.password', user: userId, password: passwordOf('alice') },
    })
    expect(status).toBe(200)
  })

  it.each([
    ['a wrong password', { password: 'wrong' }],
    ['an unknown user', { identifier: { type: 'm.id.user', user: 'i-dont-exist' } }],
    ['a user of another server', { identifier: { type: 'm.id.user', user: '@bob:elsewhere.example' } }],
    [
      'a third-party identifier',
      { identifier: { type: 'm.id.thirdparty', medium: 'email', address: 'a@b.example' } },
    ],
    ['a phone number', { identifier: { type: 'm.id.phone', country: 'GB', phone: '1' } }],
    ['a password of excessive length', { password: 'x'.repeat(513) }],
    ['an unknown login token', { type: 'm.login.token', token: 'nope' }],
  ])('refuses %s', async (_, change) => {
    await server.request('POST', '/_matrix/client/v3/register', {
      body: { username: 'bob', password: passwordOf('bob'), auth: { type: 'm.login.dummy' } },
    })
    const { status, body } = await loginAs('bob', change)
    expect([status, body.errcode]).toEqual([403, 'M_FORBIDDEN'])
  })

  it.each<[string, JsonObject, string]>([
    ['without a type', {}, 'M_MISSING_PARAM'],
    ['of an unknown type', { type: 'm.login.magic' }, 'M_UNKNOWN'],
    ['without a password', { type: 'm.login.password', user: 'a' }, 'M_MISSING_PARAM'],
    ['without a user', { type: 'm.login.password', password: 'a' }, 'M_MISSING_PARAM'],
    [
      'with a password that is no text',
      { type: 'm.login.password', user: 'a', password: 1 },
      'M_MISSING_PARAM',
    ],
    [
      'with an unknown identifier',
      { type: 'm.login.password', password: 'a', identifier: { type: 'x' } },
      'M_UNKNOWN',
    ],
    ['with an empty device id', { type: 'm.login.password', device_id: '' }, 'M_BAD_JSON'],
  ])('refuses a request %s', async (_, body, errcode) => {
    const answer = await server.request('POST', '/_matrix/client/v3/login', { body })
    expect([answer.status, answer.body.errcode]).toEqual([400, errcode])
  })

  it('on a known device ends the sessions that the device had, and keeps its name', async () => {
    await server.register('carol')
    const first = await loginAs('carol', { device_id: 'phone', initial_device_display_name: 'My phone' })
    const second = await loginAs('carol', { device_id: 'phone', initial_device_display_name: 'Other' })
    expect(second.body.device_id).toBe('phone')
    expect(await whoami(textOf(first.body, 'access_token'))).toMatchObject({
      status: 401,
      body: { errcode: 'M_UNKNOWN_TOKEN' },
    })
    const token = textOf(second.body, 'access_token')
    const device = await server.request('GET', '/_matrix/client/v3/devices/phone', { token })
    expect(device.body).toMatchObject({ device_id: 'phone', display_name: 'My phone' })
  })

  it('is locked after ten wrong passwords, for names that exist and those that do not', async () => {
    await server.register('dave')
    for (const user of ['dave', 'nobody-at-all']) {
      for (let n = 0; n < 10; n++) expect((await loginAs(user, { password: 'wrong' })).status).toBe(403)
      const locked = await loginAs(user)
      expect(locked).toMatchObject({ status: 429, body: { errcode: 'M_LIMIT_EXCEEDED' } })
      expect(Number(locked.headers.get('Retry-After'))).toBeGreaterThan(0)
    }
  })

  it('answers a locked account with M_USER_LOCKED everywhere but at logout', async () => {
    const { token, userId } = await server.register('erin')
    await d1('UPDATE users SET locked = 1 WHERE user_id = ?', userId)
    const locked = { status: 401, body: { errcode: 'M_USER_LOCKED', soft_logout: true } }
    expect(await whoami(token)).toMatchObject(locked)
    expect(await loginAs('erin')).toMatchObject(locked)
    expect(await server.request('POST', '/_matrix/client/v3/logout', { token })).toMatchObject({
      status: 200,
    })
  })

  it('by a token that a signed-in client asked for works once and not after its time', async () => {
    const { token, userId } = await server.register('frank')
    const path = '/_matrix/client/v1/login/get_token'
    const auth = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'frank' },
      password: passwordOf('frank'),
    }
    expect(await server.request('POST', path, { token, body: {} })).toMatchObject({
      status: 401,
      body: { flows: [{ stages: ['m.login.password'] }] },
    })
    const given = await server.request('POST', path, { token, body: { auth } })
    expect(given.body).toMatchObject({ expires_in_ms: 120_000 })
    const login = { type: 'm.login.token', token: textOf(given.body, 'login_token') }
    const answers = await Promise.all([loginAs('frank', login), loginAs('frank', login)])
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 403])
    expect(answers.find(({ status }) => status === 200)?.body).toMatchObject({ user_id: userId })
    const late = await server.request('POST', path, { token, body: { auth } })
    await d1('UPDATE login_tokens SET expires_at = 1')
    expect(await loginAs('frank', { ...login, token: textOf(late.body, 'login_token') })).toMatchObject({
      status: 403,
    })
  })
})

describe('refresh', () => {
  const refresh = (token: string) =>
    server.request('POST', '/_matrix/client/v3/refresh', { body: { refresh_token: token } })
  const signIn = async (localpart: string) => {
    await server.register(localpart)
    const { body } = await loginAs(localpart, { refresh_token: true })
    expect(body.expires_in_ms).toBeGreaterThan(0)
    return { access: textOf(body, 'access_token'), refresh: textOf(body, 'refresh_token') }
  }

  it('is offered only to clients that can', async () => {
    await server.register('g1')
    const { body } = await loginAs('g1')
    expect(body).not.toHaveProperty('refresh_token')
    expect(body).not.toHaveProperty('expires_in_ms')
  })

  it('gives a new access token for the same device', async () => {
    const first = await signIn('g2')
    const before = await whoami(first.access)
    const { status, body } = await refresh(first.refresh)
    expect(status).toBe(200)
    expect(await whoami(textOf(body, 'access_token'))).toMatchObject({ status: 200, body: before.body })
    expect(await refresh(textOf(body, 'refresh_token'))).toMatchObject({ status: 200 })
  })

  it('can be repeated until one of the new tokens is used', async () => {
    const first = await signIn('g3')
    expect((await refresh(first.refresh)).status).toBe(200)
    const { body } = await refresh(first.refresh)
    expect((await whoami(textOf(body, 'access_token'))).status).toBe(200)
    expect(await refresh(first.refresh)).toMatchObject({ status: 401, body: { errcode: 'M_UNKNOWN_TOKEN' } })
  })

  it('with a token whose successor was used ends all tokens of the device', async () => {
    const first = await signIn('g4')
    const second = await refresh(first.refresh)
    const third = await refresh(textOf(second.body, 'refresh_token'))
    const access = textOf(third.body, 'access_token')
    expect((await whoami(access)).status).toBe(200)
    expect((await refresh(first.refresh)).status).toBe(401)
    expect((await whoami(access)).status).toBe(401)
    expect((await refresh(textOf(third.body, 'refresh_token'))).status).toBe(401)
  })

  it('repeated leaves one session alone, and who has the other ends both', async () => {
    const first = await signIn('g8')
    const lost = await refresh(first.refresh)
    const { body } = await refresh(first.refresh)
    const access = textOf(body, 'access_token')
    expect((await whoami(access)).status).toBe(200)
    expect((await whoami(textOf(lost.body, 'access_token'))).status).toBe(401)
    expect(await refresh(textOf(lost.body, 'refresh_token'))).toMatchObject({
      status: 401,
      body: { errcode: 'M_UNKNOWN_TOKEN', soft_logout: true },
    })
    expect((await whoami(access)).status).toBe(401)
  })

  it('is what an expired access token asks for', async () => {
    const first = await signIn('g5')
    await d1('UPDATE sessions SET expires_at = 1 WHERE expires_at IS NOT NULL')
    expect(await whoami(first.access)).toMatchObject({
      status: 401,
      body: { errcode: 'M_UNKNOWN_TOKEN', soft_logout: true },
    })
    const { body } = await refresh(first.refresh)
    expect((await whoami(textOf(body, 'access_token'))).status).toBe(200)
  })

  it('does not work after a logout', async () => {
    const first = await signIn('g6')
    const { body } = await refresh(first.refresh)
    const token = textOf(body, 'access_token')
    expect((await server.request('POST', '/_matrix/client/v3/logout', { token })).status).toBe(200)
    for (const old of [first.refresh, textOf(body, 'refresh_token')]) {
      const answer = await refresh(old)
      expect([answer.status, answer.body.errcode]).toEqual([401, 'M_UNKNOWN_TOKEN'])
      expect(answer.body).not.toHaveProperty('soft_logout')
    }
    expect((await whoami(first.access)).status).toBe(401)
  })

  it('refuses what is no refresh token', async () => {
    const { access } = await signIn('g7')
    expect((await refresh(access)).status).toBe(401)
    expect((await refresh('')).status).toBe(401)
    const { status, body } = await server.request('POST', '/_matrix/client/v3/refresh', { body: {} })
    expect([status, body.errcode]).toEqual([400, 'M_MISSING_PARAM'])
  })
})

describe('logout', () => {
  const devices = (token: string) => server.request('GET', '/_matrix/client/v3/devices', { token })

  it('ends the token and deletes the device', async () => {
    const first = await server.register('henry')
    const token = textOf((await loginAs('henry', { device_id: 'second' })).body, 'access_token')
    expect((await devices(token)).body.devices).toHaveLength(2)
    expect((await server.request('POST', '/_matrix/client/v3/logout', { token })).body).toEqual({})
    expect((await devices(token)).status).toBe(401)
    expect((await devices(first.token)).body.devices).toMatchObject([{ device_id: first.deviceId }])
  })

  it('of all ends every token and device', async () => {
    const first = await server.register('iris')
    const token = textOf((await loginAs('iris')).body, 'access_token')
    expect((await server.request('POST', '/_matrix/client/v3/logout/all', { token })).body).toEqual({})
    expect((await whoami(token)).status).toBe(401)
    expect((await whoami(first.token)).status).toBe(401)
    const again = textOf((await loginAs('iris')).body, 'access_token')
    expect((await devices(again)).body.devices).toHaveLength(1)
  })

  it('refuses an unknown token, and none', async () => {
    const unknown = await server.request('POST', '/_matrix/client/v3/logout', { token: 'invalidAccessToken' })
    expect([unknown.status, unknown.body.errcode]).toEqual([401, 'M_UNKNOWN_TOKEN'])
    const none = await server.request('POST', '/_matrix/client/v3/logout')
    expect([none.status, none.body.errcode]).toEqual([401, 'M_MISSING_TOKEN'])
  })

  it('racing with a login on the same device leaves no token without a device', async () => {
    await server.register('jack')
    const token = textOf((await loginAs('jack', { device_id: 'racy' })).body, 'access_token')
    const logout = server.request('POST', '/_matrix/client/v3/logout', { token })
    const logins = await Promise.all([1, 2, 3].map(() => loginAs('jack', { device_id: 'racy' })))
    await logout
    for (const { status, body } of logins) {
      if (status !== 200) continue
      const answer = await devices(textOf(body, 'access_token'))
      if (answer.status === 200) expect(JSON.stringify(answer.body)).toContain('"racy"')
      else expect(answer.status).toBe(401)
    }
  })
})

it('no token, password or hash reaches the logs', async () => {
  const { token } = await server.register('kate')
  await loginAs('kate', { password: 'a wrong password' })
  const logs = server.logs.join('\n')
  expect(logs).toContain('login_failed')
  expect(logs).not.toContain(token)
  expect(logs).not.toContain('a wrong password')
  expect(logs).not.toContain('$scrypt$')
})
