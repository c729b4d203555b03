// Who signs in on the pages of the OAuth 2.0 API, and who does not. Specification: client-server API, "OAuth 2.0 API"; RFC 9700.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  clientId,
  clientSecret,
  type FakeProvider,
  startFakeProvider,
} from '../support/fake-openid-provider.ts'
import {
  answerIn,
  formOf,
  logIn,
  newOauthClient,
  oauthPath,
  type OauthClient,
  passSignIn,
  signedIn,
  startOauthServer,
  submitTo,
} from '../support/oauth-client.ts'
import { refusal } from '../support/room-client.ts'
import type { TestServer } from '../support/server.ts'
import { newVisitor, type Shown, type Visitor } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

const account = `${oauthPath}/account`

let provider: FakeProvider
let server: TestServer
let client: OauthClient
const providers = () => {
  const common = { issuer: provider.issuer, client_id: clientId, client_secret: clientSecret }
  return JSON.stringify([
    { id: 'fake', name: 'Fake', register: true, ...common },
    { id: 'staff', name: 'Staff', register: false, ...common },
  ])
}
beforeAll(async () => {
  provider = await startFakeProvider()
  server = await startOauthServer({ SSO_PROVIDERS: providers() })
  await server.register('alice')
  client = await newOauthClient(server)
})
afterAll(async () => {
  await server.stop()
  await provider.stop()
})

const tryPassword = async (user: string, password: string, visitor = newVisitor(server.url)) =>
  await submitTo(visitor, await visitor.open(account), 'sign-in', { user, password })

const setUser = async (localpart: string, column: string, value: number) => {
  const db = await server.mf.getD1Database('DB')
  await db
    .prepare(`UPDATE users SET ${column} = ? WHERE user_id = ?`)
    .bind(value, `@${localpart}:test.local`)
    .run()
}

describe('by password', () => {
  it.each(['alice', ' Alice ', '@alice:test.local'])('%s signs in', async (user) => {
    expect((await tryPassword(user, 'password of alice')).status).toBe(303)
  })

  it('a wrong password is told as at login, and neither shown again nor kept', async () => {
    const answers = await Promise.all([
      tryPassword('alice', 'wrong password'),
      tryPassword('nobody<script>', 'wrong password'),
    ])
    for (const { status, text } of answers) {
      expect(status).toBe(403)
      expect(text).toContain('Invalid user name or password')
      expect(text).not.toContain('wrong password')
      expect(text).not.toContain('nobody<script>')
    }
    expect((await tryPassword('alice', 'password of alice')).status).toBe(303)
  })

  it('ten wrong ones lock the login, here and at /login', async () => {
    await server.register('forgetful')
    for (let n = 0; n < 10; n += 1) await tryPassword('forgetful', 'wrong')
    expect((await tryPassword('forgetful', 'password of forgetful')).status).toBe(429)
    const login = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'forgetful' },
      password: 'password of forgetful',
    }
    expect(await server.request('POST', '/_matrix/client/v3/login', { body: login })).toEqual(
      refusal(429, 'M_LIMIT_EXCEEDED'),
    )
  })

  it('who is locked or deactivated does not get in, nor goes on who was in', async () => {
    await server.register('dave')
    const dave = await signedIn(server, 'dave')
    await setUser('dave', 'locked', 1)
    expect((await tryPassword('dave', 'password of dave')).text).toContain('Your account is locked')
    expect((await dave.open(account)).text).toContain('Sign in')
    await setUser('dave', 'locked', 0)
    expect((await dave.open(account)).text).toContain('Your sessions')
    await setUser('dave', 'deactivated_at', 1)
    expect((await tryPassword('dave', 'password of dave')).text).toContain('Invalid user name or password')
    expect((await dave.open(account)).text).toContain('Sign in')
  })

  it('who is suspended does', async () => {
    await server.register('erin')
    await setUser('erin', 'suspended', 1)
    const tokens = await logIn(client, await signedIn(server, 'erin'), 'ERIN')
    expect(
      await server.request('POST', '/_matrix/client/v3/createRoom', { token: tokens.access_token, body: {} }),
    ).toEqual(refusal(403, 'M_USER_SUSPENDED'))
  })

  it('an account that was locked or deactivated after the consent gets no token', async () => {
    await server.register('frank')
    const frank = await signedIn(server, 'frank')
    for (const column of ['locked', 'deactivated_at']) {
      const request = client.request('FRANK')
      const answer = await submitTo(frank, await frank.open(request.path), 'consent', { decision: 'allow' })
      await setUser('frank', column, 1)
      const { status, body } = await client.exchange(answerIn(answer).get('code') ?? '', request)
      expect([status, body['error']]).toEqual([400, 'invalid_grant'])
      if (column === 'locked') await setUser('frank', column, 0)
    }
  })

  it('a new password signs all browsers out', async () => {
    const { token } = await server.register('grace')
    const grace = await signedIn(server, 'grace')
    const auth = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'grace' },
      password: 'password of grace',
    }
    const body = { new_password: 'another password', auth }
    expect(
      (await server.request('POST', '/_matrix/client/v3/account/password', { token, body })).status,
    ).toBe(200)
    expect((await grace.open(account)).text).toContain('Sign in')
  })
})

describe('the cookie', () => {
  it('is kept from scripts and other sites, for the pages alone, as long as somebody may wait for a mail', async () => {
    const { headers } = await newVisitor(server.url).open(account)
    const [cookie = ''] = headers.getSetCookie()
    for (const attribute of ['HttpOnly', 'SameSite=Lax', 'Max-Age=86400', `Path=${oauthPath}`]) {
      expect(cookie).toContain(attribute)
    }
  })

  it('is another one after signing in, and after signing out', async () => {
    const visitor = newVisitor(server.url)
    const page = await visitor.open(account)
    const [before] = [...visitor.cookies.values()]
    const signed = await passSignIn(visitor, page, 'alice')
    const [after] = [...visitor.cookies.values()]
    expect(after?.value).not.toBe(before?.value)
    await submitTo(visitor, signed, 'sign-out')
    expect([...visitor.cookies.values()][0]?.value).not.toBe(after?.value)
    // The one of before is of no use to somebody who kept it.
    const thief = newVisitor(server.url)
    if (after) thief.cookies.set('hearth_oauth', after)
    expect((await thief.open(account)).text).toContain('Sign in')
  })

  it('lasts for a quarter of an hour', async () => {
    const visitor = await signedIn(server, 'alice')
    const db = await server.mf.getD1Database('DB')
    const ahead = await db
      .prepare('SELECT max(expires_at) AS n FROM oauth_browser_sessions')
      .first<number>('n')
    expect(Number(ahead) - Date.now()).toBeLessThanOrEqual(15 * 60_000)
    await db.prepare('UPDATE oauth_browser_sessions SET expires_at = 1').run()
    expect((await visitor.open(account)).text).toContain('Sign in')
  })
})

describe('nobody is signed in as somebody else', () => {
  it('by a form of another site', async () => {
    const mallory = newVisitor(server.url)
    const { fields } = formOf(await mallory.open(account), 'sign-in')
    const victim = newVisitor(server.url)
    await victim.open(account)
    for (const visitor of [victim, newVisitor(server.url)]) {
      const answer = await visitor.open(`${oauthPath}/sign-in`, {
        method: 'POST',
        body: new URLSearchParams({ ...fields, user: 'alice', password: 'password of alice' }),
      })
      expect(answer.status).toBe(403)
      expect((await visitor.open(account)).text).toContain('Sign in')
    }
  })

  it('by a link with a login token', async () => {
    const mallory = newVisitor(server.url)
    const stolen = await throughSso(mallory, await mallory.open(account), {
      sub: 'mallory',
      preferred_username: 'mallory',
    })
    const victim = newVisitor(server.url)
    await victim.open(account)
    const answer = await victim.open(stolen.location ?? '')
    expect(answer.status).toBe(403)
    expect((await victim.open(account)).text).toContain('Sign in')
    // The one it is for goes on.
    expect((await mallory.follow(stolen)).text).toContain('@mallory:test.local')
  })

  it.each([
    'https://evil.test/',
    '//evil.test',
    '/account',
    'account@evil.test',
    'authorize/../x',
    'token?a',
    '',
  ])('nor sent to %j afterwards', async (next) => {
    const visitor = newVisitor(server.url)
    const page = await visitor.open(account)
    const answer = await submitTo(visitor, page, 'sign-in', {
      user: 'alice',
      password: 'password of alice',
      next,
    })
    expect([answer.status, answer.location]).toEqual([400, null])
  })
})

/** Up to what the browser is sent back with to the pages. */
async function throughSso(
  visitor: Visitor,
  page: Shown,
  claims: { sub: string; preferred_username?: string },
  name = 'Fake',
) {
  const href = new RegExp(`href="([^"]*)">Continue with ${name}<`)
    .exec(page.text)?.[1]
    ?.replaceAll('&amp;', '&')
  const { location } = await visitor.open(href ?? 'none')
  return await visitor.open(provider.signIn(location ?? '', claims).href)
}

describe('by single sign-on', () => {
  it('somebody signs in, is asked once, and their client gets in', async () => {
    const visitor = newVisitor(server.url)
    const request = client.request('BYSSO')
    const back = await throughSso(visitor, await visitor.open(request.path), {
      sub: 'heidi',
      preferred_username: 'heidi',
    })
    const consent = await visitor.follow(back)
    expect(consent.text).toContain('@heidi:test.local')
    const answer = await submitTo(visitor, consent, 'consent', { decision: 'allow' })
    const { body } = await client.exchange(answerIn(answer).get('code') ?? '', request)
    const { body: me } = await server.request('GET', '/_matrix/client/v3/account/whoami', {
      token: textOf(body, 'access_token'),
    })
    expect(me['user_id']).toBe('@heidi:test.local')
  })

  it('is the only way where passwords are off, also to a new account', async () => {
    const sole = await startOauthServer({ SSO_PROVIDERS: providers(), PASSWORD_LOGIN: 'off' })
    const soleClient = await newOauthClient(sole)
    const visitor = newVisitor(sole.url)
    const page = await visitor.open(soleClient.request('ONE').path)
    expect(page.text).not.toContain('type="password"')
    const { fields, target } = formOf(await newVisitor(server.url).open(account), 'sign-in')
    const body = new URLSearchParams({ ...fields, user: 'alice', password: 'password of alice' })
    expect((await visitor.open(new URL(target).pathname, { method: 'POST', body })).status).toBe(403)
    const create = await visitor.follow(
      await visitor.open(soleClient.request('ONE', { prompt: 'create' }).path),
    )
    expect(create.text).toContain('Continue with Fake')
    // It gives nobody an account.
    expect(create.text).not.toContain('Continue with Staff')
    const consent = await visitor.follow(
      await throughSso(visitor, create, { sub: 'ivan', preferred_username: 'ivan' }),
    )
    expect(consent.text).toContain('@ivan:test.local')
    await sole.stop()
  })
})
