// A server where single sign-on is the only login, and new users have terms to accept; reached by https.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  clientId,
  clientSecret,
  type FakeProvider,
  startFakeProvider,
} from '../support/fake-openid-provider.ts'
import { freePort } from '../support/launcher.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { loginTokenIn, newVisitor } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

const api = '/_matrix/client/v3'
const privacy = (version: string) => ({
  version,
  en: { name: 'Privacy <Policy>', url: 'https://example.org/privacy.html' },
})
const known = { redirectUrl: 'https://known.test/' }

let server: TestServer
let fake: FakeProvider
const provider = () => ({
  id: 'fake',
  name: 'Fake',
  issuer: fake.issuer,
  client_id: clientId,
  client_secret: clientSecret,
  register: true,
})
beforeAll(async () => {
  fake = await startFakeProvider()
  fake.metadata = { prompt_values_supported: ['none', 'create'] }
  const port = await freePort()
  server = await startServer({
    port,
    vars: {
      PUBLIC_BASE_URL: `http://127.0.0.1:${port}`,
      SSO_PROVIDERS: JSON.stringify([provider()]),
      SSO_CLIENT_WHITELIST: 'https://known.test/',
      PASSWORD_LOGIN: 'off',
      TERMS_POLICIES: JSON.stringify({ privacy: privacy('1.2') }),
    },
  })
})
afterAll(async () => {
  await server.stop()
  await fake.stop()
})

const person = (name: string) => ({ sub: `subject of ${name}`, preferred_username: name })
const visitor = () => newVisitor(server.url)

describe('PASSWORD_LOGIN=off', () => {
  it('leaves single sign-on and tokens as flows', async () => {
    const { body } = await server.request('GET', `${api}/login`)
    expect(body).toEqual({
      flows: [
        { type: 'm.login.sso', identity_providers: [{ id: 'fake', name: 'Fake' }] },
        { type: 'm.login.token', get_login_token: true },
      ],
    })
  })

  it('takes no password, neither to log in nor to register', async () => {
    const body = { type: 'm.login.password', identifier: { type: 'm.id.user', user: 'a' }, password: 'p' }
    expect(await server.request('POST', `${api}/login`, { body })).toMatchObject({
      status: 400,
      body: { errcode: 'M_UNKNOWN' },
    })
    const account = { username: 'alice', password: 'sUp3rs3kr1t' }
    expect(await server.request('POST', `${api}/register`, { body: account })).toMatchObject({
      status: 403,
      body: { errcode: 'M_FORBIDDEN' },
    })
  })

  it('lets nobody set one, or end an account by one', async () => {
    const body = { new_password: 'sUp3rs3kr1t' }
    expect(await server.request('POST', `${api}/account/password`, { body })).toMatchObject({ status: 403 })
    expect(await server.request('POST', `${api}/account/deactivate`, { body: {} })).toMatchObject({
      status: 401,
      body: { errcode: 'M_MISSING_TOKEN' },
    })
  })

  it('asks for none on the login page', async () => {
    const page = await visitor().open('/_matrix/static/client/login/')
    expect(page.text).not.toContain('name="password"')
    expect(page.text).toContain('Continue with Fake')
  })
})

describe('the way to the only provider', () => {
  it('needs no choice', async () => {
    const answer = await visitor().open(`${api}/login/sso/redirect?redirectUrl=https://known.test/`)
    expect(answer).toMatchObject({ status: 302, location: expect.stringContaining(fake.issuer) })
  })

  it('tells it of a registration, since it knows what that is', async () => {
    const prompt = async (query: Record<string, string>) =>
      new URL(await visitor().begin(known.redirectUrl, 'fake', query)).searchParams.get('prompt')
    expect(await prompt({ action: 'register' })).toBe('create')
    expect(await prompt({ action: 'login' })).toBeNull()
    expect(await prompt({})).toBeNull()
  })
})

describe('a new account', () => {
  it('comes once the terms are accepted, as they are now', async () => {
    const alice = visitor()
    const page = await alice.follow(await alice.signIn(fake, person('alice'), known))
    expect(page.text).toContain('@alice:test.local')
    expect(page.text).toContain('Privacy &lt;Policy&gt;')
    // Its form may lead on to the client.
    expect(page.headers.get('Content-Security-Policy')).toContain("form-action 'self' https://known.test")
    for (const form of [{}, { 'policy privacy': '1.1' }, { 'policy privacy': 'on' }]) {
      const again = await alice.submit(page, form)
      expect(again.status).toBe(400)
      expect(again.text).toContain('have to be accepted')
    }
    const db = await server.mf.getD1Database('DB')
    const count = async (table: string) => (await db.prepare(`SELECT 1 FROM ${table}`).all()).results.length
    for (const table of ['users', 'profiles', 'sso_links', 'accepted_policies']) {
      expect([table, await count(table)]).toEqual([table, 0])
    }
    const token = loginTokenIn(await alice.submit(page, { 'policy privacy': '1.2' }))
    const login = await server.request('POST', `${api}/login`, { body: { type: 'm.login.token', token } })
    expect(login).toMatchObject({ status: 200, body: { user_id: '@alice:test.local' } })
    const { results } = await db.prepare('SELECT user_id, policy_id, version FROM accepted_policies').all()
    expect(results).toEqual([{ user_id: '@alice:test.local', policy_id: 'privacy', version: '1.2' }])
    // Who has it is asked nothing the next time.
    expect(loginTokenIn(await visitor().signIn(fake, person('alice'), known))).toMatch(/./)
    const capabilities = await server.request('GET', `${api}/capabilities`, {
      token: textOf(login.body, 'access_token'),
    })
    expect(capabilities.body).toMatchObject({ capabilities: { 'm.change_password': { enabled: false } } })
  })
})

it('a server that is reached by https has its cookies sent by https alone', async () => {
  const secure = await startServer({
    vars: {
      PUBLIC_BASE_URL: 'https://matrix.example.org/base/',
      SSO_PROVIDERS: JSON.stringify([provider()]),
    },
  })
  const answer = await secure.fetch(`${api}/login/sso/redirect/fake?redirectUrl=https://known.test/`, {
    redirect: 'manual',
  })
  const [cookie = ''] = answer.headers.getSetCookie()
  // Nobody else can set one of that name, not even a neighbour below the same domain.
  expect(cookie).toMatch(/^__Host-hearth_sso_/)
  expect(cookie).not.toContain('Domain')
  expect(cookie).toContain('Secure;')
  expect(cookie).toContain('Path=/;')
  const query = new URL(answer.headers.get('Location') ?? '').searchParams
  expect(query.get('redirect_uri')).toBe(
    'https://matrix.example.org/base/_matrix/client/unstable/hearth/sso/callback/fake',
  )
  await secure.stop()
})

it('a server without identity providers has pages that say so', async () => {
  const plain = await startServer()
  for (const path of [`${api}/login/sso/redirect`, `${api}/login/sso/redirect/fake`]) {
    const answer = await plain.fetch(`${path}?redirectUrl=https://known.test/`)
    expect(answer.status).toBe(404)
    expect(await answer.text()).toContain('no single sign-on')
  }
  await plain.stop()
})
