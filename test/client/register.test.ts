// POST /register and what belongs to it, over HTTP.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { startServer, type TestServer, testServerName } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const registerPath = '/_matrix/client/v3/register'
const dummy = { type: 'm.login.dummy' }
const password = 'sUp3rs3kr1t'

describe('open registration', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server.stop())

  const register = (body: JsonObject) => server.request('POST', registerPath, { body })

  it('answers a request without auth with the flows and a session', async () => {
    const { status, body, headers } = await register({})
    expect(status).toBe(401)
    expect(headers.get('Content-Type')).toBe('application/json')
    expect(body).toEqual({
      session: expect.any(String),
      flows: [{ stages: ['m.login.dummy'] }],
      params: {},
    })
  })

  it('creates a user, downcases the name and signs in', async () => {
    const { status, body } = await register({ auth: dummy, username: 'user-UPPER', password })
    expect(status).toBe(200)
    expect(body).toMatchObject({
      user_id: `@user-upper:${testServerName}`,
      home_server: testServerName,
      device_id: expect.stringMatching(/^[A-Z]{10}$/),
    })
    const whoami = await server.request('GET', '/_matrix/client/v3/account/whoami', {
      token: textOf(body, 'access_token'),
    })
    expect(whoami.body).toEqual({ user_id: `@user-upper:${testServerName}`, device_id: body.device_id })
  })

  it('goes through the session in two steps, also with letters beyond ASCII in the password', async () => {
    const request = { username: 'two-steps', password: 'übers3kr1t', device_id: 'xyzzy' }
    const first = await register(request)
    const second = await register({ ...request, auth: { ...dummy, session: textOf(first.body, 'session') } })
    expect(second).toMatchObject({ status: 200, body: { device_id: 'xyzzy' } })
    // The same characters as another keyboard composes them.
    const login = await server.request('POST', '/_matrix/client/v3/login', {
      body: { type: 'm.login.password', user: 'two-steps', password: 'u\u0308bers3kr1t' },
    })
    expect(login.status).toBe(200)
  })

  it('lets a client that asked for the flows first fill the registration in later', async () => {
    const { body } = await register({})
    const auth = { ...dummy, session: textOf(body, 'session') }
    expect(await register({ username: 'filled-in', password, auth })).toMatchObject({ status: 200 })
  })

  it('uses an authentication session only once', async () => {
    const { body } = await register({ password })
    const auth = { ...dummy, session: textOf(body, 'session') }
    const answers = await Promise.all([register({ password, auth }), register({ password, auth })])
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect((await register({ password, auth })).status).toBe(401)
  })

  it.each([
    ...Array.from('!":?\\@[]{|}£é\n\'# '),
    '\\\\',
    '\u212a', // the Kelvin sign, whose lower case is an ASCII k
  ])('refuses a user name with %j', async (character) => {
    const { status, body } = await register({ auth: dummy, username: `user-${character}-reject`, password })
    expect([status, body.errcode]).toEqual([400, 'M_INVALID_USERNAME'])
  })

  it.each(Array.from('q3._=-/+'))('takes a user name with %j', async (character) => {
    const { status } = await register({ auth: dummy, username: `chrtestuser${character}`, password })
    expect(status).toBe(200)
  })

  it.each(['', '_bridge', 'a'.repeat(250)])('refuses the user name %j', async (username) => {
    const { status, body } = await register({ auth: dummy, username, password })
    expect([status, body.errcode]).toEqual([400, 'M_INVALID_USERNAME'])
  })

  it('refuses a taken name before authentication and at registration', async () => {
    await server.register('taken')
    for (const auth of [null, dummy]) {
      const { status, body } = await register({ auth, username: 'Taken', password })
      expect([status, body.errcode]).toEqual([400, 'M_USER_IN_USE'])
    }
    const available = await server.request('GET', `${registerPath}/available?username=taken`)
    expect([available.status, available.body.errcode]).toEqual([400, 'M_USER_IN_USE'])
  })

  it('gives a name to one of many who ask for it at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => register({ auth: dummy, username: 'wanted', password })),
    )
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 400, 400, 400, 400])
  })

  it('tells whether a name is available', async () => {
    const free = await server.request('GET', `${registerPath}/available?username=free`)
    expect(free).toMatchObject({ status: 200, body: { available: true } })
    const invalid = await server.request('GET', `${registerPath}/available?username=not,valid`)
    expect([invalid.status, invalid.body.errcode]).toEqual([400, 'M_INVALID_USERNAME'])
    const missing = await server.request('GET', `${registerPath}/available`)
    expect([missing.status, missing.body.errcode]).toEqual([400, 'M_MISSING_PARAM'])
  })

  it('does not sign in with inhibit_login', async () => {
    const { body } = await register({ auth: dummy, username: 'inhibited', password, inhibit_login: true })
    expect(body).toEqual({ user_id: `@inhibited:${testServerName}`, home_server: testServerName })
  })

  it('makes up a user name if none is given', async () => {
    const { body } = await register({ auth: dummy, password })
    expect(body.user_id).toMatch(/^@[a-z0-9]{12}:test\.local$/)
  })

  it('refuses a weak password, and none at all once authenticated', async () => {
    const weak = await register({ auth: dummy, username: 'weak', password: '12345' })
    expect([weak.status, weak.body.errcode]).toEqual([400, 'M_WEAK_PASSWORD'])
    const none = await register({ auth: dummy, username: 'weak' })
    expect([none.status, none.body.errcode]).toEqual([400, 'M_MISSING_PARAM'])
  })

  it('refuses what is not UTF-8, not JSON or not an object', async () => {
    const bodies = [Buffer.from('{ "test":"a\x81" }', 'latin1'), Buffer.from('{')]
    for (const body of bodies) {
      const response = await server.fetch(registerPath, { method: 'POST', body })
      expect([response.status, await response.json()]).toMatchObject([400, { errcode: 'M_NOT_JSON' }])
    }
    const list = await server.request('POST', registerPath, { body: [] })
    expect([list.status, list.body.errcode]).toEqual([400, 'M_BAD_JSON'])
    const number = await register({ username: 1 })
    expect([number.status, number.body.errcode]).toEqual([400, 'M_BAD_JSON'])
  })

  it('makes guests, whose parameters it ignores and who reach few endpoints', async () => {
    const { status, body } = await server.request('POST', `${registerPath}?kind=guest`, {
      body: { device_id: 'mine', username: 'not-this', initial_device_display_name: 'Web' },
    })
    expect(status).toBe(200)
    expect(body.user_id).toMatch(/^@guest-[a-z0-9]{12}:test\.local$/)
    expect(body.device_id).not.toBe('mine')
    const token = textOf(body, 'access_token')
    const whoami = await server.request('GET', '/_matrix/client/v3/account/whoami', { token })
    expect(whoami.body).toMatchObject({ is_guest: true })
    const devices = await server.request('GET', '/_matrix/client/v3/devices', { token })
    expect(devices.body.devices).toMatchObject([{ display_name: 'Web' }])
    const capabilities = await server.request('GET', '/_matrix/client/v3/capabilities', { token })
    expect([capabilities.status, capabilities.body.errcode]).toEqual([403, 'M_GUEST_ACCESS_FORBIDDEN'])
    const profile = `/_matrix/client/v3/profile/${textOf(body, 'user_id')}`
    const name = await server.request('PUT', `${profile}/displayname`, {
      token,
      body: { displayname: 'Guest' },
    })
    expect(name.status).toBe(200)
    const avatar = await server.request('PUT', `${profile}/avatar_url`, {
      token,
      body: { avatar_url: 'mxc://test.local/a' },
    })
    expect([avatar.status, avatar.body.errcode]).toEqual([403, 'M_GUEST_ACCESS_FORBIDDEN'])
  })

  it('upgrades a guest under its own user name, once', async () => {
    const guest = await server.request('POST', `${registerPath}?kind=guest`, { body: {} })
    const username = textOf(guest.body, 'user_id').slice(1).split(':')[0] ?? ''
    const upgrade = { guest_access_token: textOf(guest.body, 'access_token'), password, auth: dummy }
    expect(await register({ ...upgrade, username: 'somebody-else' })).toMatchObject({ status: 403 })
    const challenge = await register({ ...upgrade, username, auth: null })
    expect(challenge.status).toBe(401)
    const upgraded = await register({ ...upgrade, username })
    expect(upgraded).toMatchObject({ status: 200, body: { user_id: guest.body.user_id } })
    const token = textOf(upgraded.body, 'access_token')
    const capabilities = await server.request('GET', '/_matrix/client/v3/capabilities', { token })
    expect(capabilities.status).toBe(200)
    expect(await register({ ...upgrade, username })).toMatchObject({ status: 403 })
    const user = await server.register('no-guest')
    expect(
      await register({ ...upgrade, username: 'no-guest', guest_access_token: user.token }),
    ).toMatchObject({ status: 403 })
  })

  it('has no registration by shared secret', async () => {
    const { status, body } = await server.request('GET', '/_synapse/admin/v1/register')
    expect([status, body.errcode]).toEqual([404, 'M_UNRECOGNIZED'])
  })
})

describe('registration with a token', () => {
  const validity = '/_matrix/client/v1/register/m.login.registration_token/validity?token='
  const stage = (token: string) => ({ type: 'm.login.registration_token', token })
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ vars: { REGISTRATION: 'token', FIRST_USER_TOKEN: 'first-user' } })
    const db = await server.mf.getD1Database('DB')
    const insert = db.prepare(
      'INSERT INTO registration_tokens (token, uses_allowed, expires_at) VALUES (?, ?, ?)',
    )
    await db.batch([
      insert.bind('once', 1, null),
      insert.bind('old', 5, 1000),
      insert.bind('any', null, null),
    ])
  })
  afterAll(() => server.stop())

  const register = (username: string, auth: JsonObject) =>
    server.request('POST', registerPath, { body: { username, password, auth } })

  it('makes the first user an administrator, and only the first', async () => {
    expect((await server.request('GET', `${validity}first-user`)).body).toEqual({ valid: true })
    const answers = await Promise.all(['one', 'two'].map((name) => register(name, stage('first-user'))))
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 401])
    expect((await register('three', stage('first-user'))).body).toMatchObject({ errcode: 'M_FORBIDDEN' })
    expect((await server.request('GET', `${validity}first-user`)).body).toEqual({ valid: false })
    const db = await server.mf.getD1Database('DB')
    const { results } = await db.prepare('SELECT admin FROM users').all()
    expect(results).toEqual([{ admin: 1 }])
  })

  it('refuses to do without a token, with a wrong one, and with an expired one', async () => {
    expect(await register('nobody', { type: 'm.login.dummy' })).toMatchObject({
      status: 401,
      body: { errcode: 'M_FORBIDDEN', flows: [{ stages: ['m.login.registration_token'] }] },
    })
    expect(await register('nobody', stage('wrong'))).toMatchObject({ status: 401 })
    expect(await register('nobody', stage('old'))).toMatchObject({ status: 401 })
    expect((await server.request('GET', `${validity}old`)).body).toEqual({ valid: false })
  })

  it('reserves a use for a session that goes on, and counts it once', async () => {
    const { body } = await server.request('POST', registerPath, { body: { username: 'reserved', password } })
    const session = textOf(body, 'session')
    const page = `/_matrix/client/v3/auth/m.login.registration_token/fallback/web?session=${session}`
    const form = await server.fetch(page)
    expect(form.headers.get('Content-Type')).toContain('text/html')
    expect(await form.text()).toContain('name="token"')
    const wrong = await server.fetch(page, { method: 'POST', body: new URLSearchParams({ token: '<b>' }) })
    expect(await wrong.text()).toContain('Invalid registration token')
    const done = await server.fetch(page, { method: 'POST', body: new URLSearchParams({ token: 'once' }) })
    expect(await done.text()).toContain('authDone')
    // The one use is taken, though nobody has registered yet.
    expect((await server.request('GET', `${validity}once`)).body).toEqual({ valid: false })
    expect(await register('late', stage('once'))).toMatchObject({ status: 401 })
    expect(await register('reserved', { session })).toMatchObject({ status: 200 })
    expect(await register('late', stage('once'))).toMatchObject({ status: 401 })
  })

  it('freezes the request once a stage is completed', async () => {
    const { body } = await server.request('POST', registerPath, { body: { username: 'frozen', password } })
    const session = textOf(body, 'session')
    await server.fetch(`/_matrix/client/v3/auth/m.login.registration_token/fallback/web?session=${session}`, {
      method: 'POST',
      body: new URLSearchParams({ token: 'any' }),
    })
    expect(await register('thawed', { session })).toMatchObject({
      status: 403,
      body: { errcode: 'M_FORBIDDEN' },
    })
    expect(await register('frozen', { session })).toMatchObject({ status: 200 })
  })

  it('has no guests', async () => {
    const { status, body } = await server.request('POST', `${registerPath}?kind=guest`, { body: {} })
    expect([status, body.errcode]).toEqual([403, 'M_FORBIDDEN'])
  })
})

describe('closed registration', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer({ vars: { REGISTRATION: 'closed', FIRST_USER_TOKEN: 'first-user' } })
  })
  afterAll(() => server.stop())

  it('is refused', async () => {
    for (const path of [registerPath, `${registerPath}?kind=guest`]) {
      const { status, body } = await server.request('POST', path, { body: { auth: dummy, password } })
      expect([status, body.errcode]).toEqual([403, 'M_FORBIDDEN'])
    }
    const validity = '/_matrix/client/v1/register/m.login.registration_token/validity?token=first-user'
    const { status, body } = await server.request('GET', validity)
    expect([status, body.errcode]).toEqual([403, 'M_FORBIDDEN'])
  })
})
