// Single sign-on from the redirect to the login token. Specification: client-server API, "SSO client login/authentication".

import { generateKeyPair, type JWTPayload } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'
import {
  type Claims,
  clientId,
  clientSecret,
  type FakeProvider,
  signed,
  startFakeProvider,
  unsigned,
} from '../support/fake-openid-provider.ts'
import { freePort } from '../support/launcher.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { loginTokenIn, newVisitor } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

const api = '/_matrix/client/v3'
const sso = '/_matrix/client/unstable/hearth/sso'

let server: TestServer
let fake: FakeProvider
let bridge: TestAppservice
let honest: Pick<FakeProvider, 'idToken' | 'sign' | 'userInfo' | 'intercept'>
beforeAll(async () => {
  fake = await startFakeProvider()
  bridge = await startAppservice()
  honest = { ...fake }
  const [port, closedPort] = [await freePort(), await freePort()]
  const of = (id: string, more: object = {}) => ({
    id,
    name: `Name of ${id}`,
    issuer: fake.issuer,
    client_id: clientId,
    client_secret: clientSecret,
    register: true,
    ...more,
  })
  const providers = [
    of('fake', {
      name: 'Fake <b>& Co</b>',
      icon: 'mxc://test.local/icon',
      brand: 'fake',
      email_claim: 'email',
    }),
    of('closed', { register: false }),
    of('by-name', { link_existing: 'localpart', register: false }),
    of('by-mail', { link_existing: 'email', email_claim: 'email', register: false }),
    of('down', { issuer: `http://127.0.0.1:${closedPort}` }),
  ]
  server = await startServer({
    port,
    vars: {
      PUBLIC_BASE_URL: `http://127.0.0.1:${port}/`,
      SSO_PROVIDERS: JSON.stringify(providers),
      SSO_CLIENT_WHITELIST: 'https://known.test/app, known-app://login',
      ...bridge.vars({ namespaces: { users: [{ exclusive: true, regex: '@irc.*' }] } }),
    },
  })
})
afterAll(async () => {
  await server.stop()
  await fake.stop()
  await bridge.stop()
})
afterEach(() => {
  Object.assign(fake, honest)
})

const visitor = () => newVisitor(server.url)
const person = (name: string, more: object = {}): Claims => ({
  sub: `subject of ${name}`,
  preferred_username: name,
  name: `The ${name}`,
  ...more,
})
const loginWith = (token: string) =>
  server.request('POST', `${api}/login`, { body: { type: 'm.login.token', token } })
const d1 = async (sql: string, ...values: (string | number)[]) => {
  const db = await server.mf.getD1Database('DB')
  return await db
    .prepare(sql)
    .bind(...values)
    .all()
}
const without =
  (...names: string[]) =>
  (claims: JWTPayload): JWTPayload =>
    Object.fromEntries(Object.entries(claims).filter(([name]) => !names.includes(name)))
const userExists = async (userId: string) =>
  (await d1('SELECT 1 FROM users WHERE user_id = ?', userId)).results.length > 0
/** Everything up to the login of somebody who is at the page where they confirm. */
const known = { redirectUrl: 'https://known.test/app/' }

describe('GET /login', () => {
  it('names the identity providers beside the other flows', async () => {
    const { body } = await server.request('GET', `${api}/login`)
    expect(body).toMatchObject({
      flows: [
        {
          type: 'm.login.sso',
          identity_providers: [
            { id: 'fake', name: 'Fake <b>& Co</b>', icon: 'mxc://test.local/icon', brand: 'fake' },
            { id: 'closed', name: 'Name of closed' },
            { id: 'by-name' },
            { id: 'by-mail' },
            { id: 'down' },
          ],
        },
        { type: 'm.login.password' },
        { type: 'm.login.token', get_login_token: true },
        { type: 'm.login.application_service' },
      ],
    })
  })
})

describe('the redirect', () => {
  it('goes to the provider with PKCE, state and nonce, and leaves a narrow cookie', async () => {
    const query = new URLSearchParams({ redirectUrl: 'https://client.test/' }).toString()
    const answer = await visitor().open(`${api}/login/sso/redirect/fake?${query}`)
    expect(answer.status).toBe(302)
    expect(answer.headers.get('Cache-Control')).toBe('no-store')
    const location = new URL(answer.location ?? '')
    expect(`${location.origin}${location.pathname}`).toBe(`${fake.issuer}/authorize`)
    expect(Object.fromEntries(location.searchParams)).toEqual({
      // What the endpoint has in its own query stays.
      tenant: '1',
      client_id: clientId,
      response_type: 'code',
      redirect_uri: `${server.url}${sso}/callback/fake`,
      scope: 'openid profile email',
      state: expect.stringMatching(/^[\w-]{43}$/),
      nonce: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge_method: 'S256',
    })
    const [cookie = ''] = answer.headers.getSetCookie()
    expect(cookie).toMatch(/^hearth_sso_[\w-]{16}=[\w-]{43}; /)
    expect(cookie).toContain(`Path=${sso};`)
    expect(cookie).toContain('HttpOnly')
    expect(cookie).toContain('SameSite=Lax')
    expect(cookie).toMatch(/Max-Age=\d{3,4};/)
    // The server of this test is not reached by https.
    expect(cookie).not.toContain('Secure')
  })

  it('asks the user where there are several providers', async () => {
    const query = new URLSearchParams({ redirectUrl: 'https://client.test/?a="><i>' }).toString()
    const page = await visitor().open(`${api}/login/sso/redirect?${query}`)
    expect(page.status).toBe(200)
    expect(page.text).toContain('Fake &lt;b&gt;&amp; Co&lt;/b&gt;')
    expect(page.text).not.toContain('<i>')
    expect(page.headers.get('Content-Security-Policy')).toContain("default-src 'none'")
    const [, href = ''] = /href="([^"]*redirect\/fake[^"]*)"/.exec(page.text) ?? []
    const next = await visitor().open(href.replaceAll('&amp;', '&'))
    expect(next).toMatchObject({ status: 302, location: expect.stringContaining(fake.issuer) })
  })

  it('offers who wants to register those providers alone that let them', async () => {
    const query = new URLSearchParams({ redirectUrl: 'https://client.test/', action: 'register' }).toString()
    const page = await visitor().open(`${api}/login/sso/redirect?${query}`)
    expect(page.text).toContain('redirect/fake')
    expect(page.text).not.toContain('redirect/closed')
  })

  it('is 404 for a provider that there is not', async () => {
    const answer = await visitor().open(`${api}/login/sso/redirect/made-up?redirectUrl=https://client.test/`)
    expect(answer.status).toBe(404)
    expect(answer.text).toContain('does not know')
    expect(answer.headers.get('Set-Cookie')).toBeNull()
  })

  it('needs a redirectUrl that leads to an application', async () => {
    for (const path of ['redirect', 'redirect/fake']) {
      const missing = await server.fetch(`${api}/login/sso/${path}`, { redirect: 'manual' })
      expect(missing.status).toBe(400)
      for (const url of [
        'javascript:alert(1)',
        ' java\nscript:alert(1)',
        'JAVASCRIPT://client.test/%0aalert(1)',
        'data:text/html,x',
        'vbscript:x',
        'blob:https://client.test/1',
        'file:///etc/passwd',
        'intent://scan/#Intent;end',
        'https://known.test@evil.test/',
        '/relative',
        '',
        `https://client.test/${'a'.repeat(5000)}`,
      ]) {
        const answer = await visitor().open(`${api}/login/sso/${path}?redirectUrl=${encodeURIComponent(url)}`)
        expect([url.slice(0, 50), answer.status]).toEqual([url.slice(0, 50), 400])
      }
    }
  })

  it('shows a page where the provider is not there', async () => {
    const answer = await visitor().open(`${api}/login/sso/redirect/down?redirectUrl=https://client.test/`)
    expect(answer.status).toBe(502)
    expect(answer.text).toContain('does not answer')
  })

  it('tells the provider of a registration where that knows what it is', async () => {
    // The metadata of this issuer is known by now, and says nothing of it.
    const location = await visitor().begin('https://client.test/', 'fake', { action: 'register' })
    expect(new URL(location).searchParams.has('prompt')).toBe(false)
  })
})

describe('signing in', () => {
  it('makes an account under the name the provider has, asks about the client, and logs in once', async () => {
    const alice = visitor()
    const shown = await alice.signIn(
      fake,
      person('Alice', { email: 'Alice@Example.org', email_verified: true }),
    )
    expect(shown.status).toBe(302)
    const page = await alice.follow(shown)
    expect(page.status).toBe(200)
    expect(page.text).toContain('https://client.test')
    expect(page.text).toContain('@alice:test.local')
    expect(page.headers.get('Content-Security-Policy')).toContain("form-action 'self' https://client.test")
    const done = await alice.submit(page)
    expect(done.status).toBe(303)
    expect(done.headers.get('Referrer-Policy')).toBe('no-referrer')
    expect(alice.cookies.size).toBe(0)
    const token = loginTokenIn(done)
    const login = await loginWith(token)
    expect(login).toMatchObject({ status: 200, body: { user_id: '@alice:test.local' } })
    expect((await loginWith(token)).status).toBe(403)
    const session = { token: textOf(login.body, 'access_token') }
    const profile = await server.request('GET', `${api}/profile/@alice:test.local`)
    expect(profile.body).toEqual({ displayname: 'The Alice' })
    const contacts = await server.request('GET', `${api}/account/3pid`, session)
    expect(contacts.body).toMatchObject({ threepids: [{ medium: 'email', address: 'alice@example.org' }] })
  })

  it('finds the account again by the subject, whatever else has changed', async () => {
    const { sub } = person('bob')
    await visitor().signIn(fake, person('bob'))
    const again = await visitor().signIn(fake, { sub, preferred_username: 'robert', name: 'Robert' }, known)
    expect(await loginWith(loginTokenIn(again))).toMatchObject({ body: { user_id: '@bob:test.local' } })
    expect(await userExists('@robert:test.local')).toBe(false)
  })

  it('is not fooled by the same subject at another provider', async () => {
    await visitor().signIn(fake, person('carol'))
    const other = await visitor().signIn(fake, person('carol'), { idp: 'closed' })
    expect(other.status).toBe(403)
    expect(other.text).toContain('no account')
  })

  it('takes the addresses alone that the provider has verified', async () => {
    for (const [name, email_verified] of Object.entries({ una: false, ulf: 'true', udo: undefined })) {
      await visitor().signIn(fake, person(name, { email: `${name}@example.org`, email_verified }))
    }
    expect((await d1("SELECT * FROM threepids WHERE address LIKE 'u%'")).results).toEqual([])
  })

  it('asks the userinfo endpoint for claims that the ID token has not, about the same user alone', async () => {
    fake.idToken = without('preferred_username', 'name', 'email')
    const shown = await visitor().signIn(fake, person('ursula'), known)
    expect(await loginWith(loginTokenIn(shown))).toMatchObject({ body: { user_id: '@ursula:test.local' } })
    fake.userInfo = (claims) => ({ ...claims, sub: 'somebody else' })
    expect((await visitor().signIn(fake, person('uwe'))).status).toBe(502)
    expect(await userExists('@uwe:test.local')).toBe(false)
  })

  it('gives a known client its token at once, and no other that only begins alike', async () => {
    await visitor().signIn(fake, person('dora'))
    for (const redirectUrl of ['https://known.test/app', 'https://known.test/app/x?y', 'known-app://login']) {
      const shown = await visitor().signIn(fake, person('dora'), { redirectUrl })
      expect(loginTokenIn(shown)).toMatch(/^[\w-]+$/)
    }
    for (const redirectUrl of [
      'https://known.test/application',
      'https://known.test.evil.test/app',
      'https://known.test:444/app',
      'http://known.test/app',
      'https://known.test/app/../other',
      'known-app://other',
    ]) {
      const shown = await visitor().signIn(fake, person('dora'), { redirectUrl })
      expect(shown.location).toContain(`${sso}/confirm`)
    }
  })

  it('adds the token to what is in the address already, and takes earlier ones out', async () => {
    const redirectUrl =
      'https://known.test/app/?a=1&loginToken=old&b=%20x+y&loginToken=&c&a=2#/room?loginToken=keep'
    const shown = await visitor().signIn(fake, person('dora'), { redirectUrl })
    const token = loginTokenIn(shown)
    expect(shown.location).toBe(
      `https://known.test/app/?a=1&b=%20x+y&c&a=2&loginToken=${token}#/room?loginToken=keep`,
    )
  })

  it('gives one token, also where the page is answered twice at once', async () => {
    const dora = visitor()
    const page = await dora.follow(await dora.signIn(fake, person('dora')))
    const answers = await Promise.all([dora.submit(page), dora.submit(page), dora.submit(page)])
    const given = answers.filter(({ location }) => location !== null)
    expect(given.map(({ status }) => status)).toEqual([303])
  })

  it('has to be done with within a quarter of an hour', async () => {
    const [dora, other] = [visitor(), visitor()]
    const page = await dora.follow(await dora.signIn(fake, person('dora')))
    const answer = fake.signIn(await other.begin(known.redirectUrl, 'fake'), person('dora'))
    const [{ last } = { last: 0 }] = (await d1('SELECT max(expires_at) AS last FROM sso_attempts')).results
    expect(Number(last) - Date.now()).toBeLessThanOrEqual(15 * 60 * 1000)
    await d1('UPDATE sso_attempts SET expires_at = ?', Date.now() - 1)
    for (const shown of [await dora.submit(page), await other.open(answer.href)]) {
      expect([shown.status, shown.location]).toEqual([403, null])
      expect(shown.text).toContain('expired')
    }
    // The next one to begin sweeps them away.
    await visitor().begin(known.redirectUrl, 'fake')
    expect((await d1('SELECT 1 FROM sso_attempts')).results).toHaveLength(1)
  })

  it('gives a token that is good for half a minute', async () => {
    await visitor().signIn(fake, person('dora'), known)
    const [{ last } = { last: 0 }] = (await d1('SELECT max(expires_at) AS last FROM login_tokens')).results
    expect(Number(last) - Date.now()).toBeLessThanOrEqual(30_000)
  })

  it('tells no native application from a site by its looks', async () => {
    const eve = visitor()
    const shown = await eve.signIn(fake, person('dora'), { redirectUrl: 'app.test://https/known.test/' })
    const page = await eve.follow(shown)
    expect(page.text).toContain('<b>app.test://https</b>')
    expect(page.headers.get('Content-Security-Policy')).toContain("form-action 'self' app.test:")
    expect((await eve.submit(page)).location).toMatch(/^app\.test:\/\/https\/known\.test\/\?loginToken=/)
  })
})

describe('the answer of a provider', () => {
  /** What a callback comes to whose ID token is bent. */
  async function refused(name: string): Promise<number> {
    const shown = await visitor().signIn(fake, person(name), known)
    expect(shown.location).toBeNull()
    expect(await userExists(`@${name}:test.local`)).toBe(false)
    return shown.status
  }

  it('counts in the browser alone that began', async () => {
    const [mallory, victim] = [visitor(), visitor()]
    const answer = fake.signIn(await mallory.begin(known.redirectUrl, 'fake'), person('mallory'))
    await victim.begin(known.redirectUrl, 'fake')
    const shown = await victim.open(answer.href)
    expect([shown.status, shown.location]).toEqual([403, null])
    expect(shown.text).toContain('another browser')
    // Nor with some cookie by the right name.
    for (const [name, { path }] of mallory.cookies) victim.cookies.set(name, { value: 'made up', path })
    expect((await victim.open(answer.href)).status).toBe(403)
    // It was no answer, so who began can still go on.
    expect(loginTokenIn(await mallory.open(answer.href))).toMatch(/./)
  })

  it('must carry a state that was given out', async () => {
    const eve = visitor()
    const answer = fake.signIn(await eve.begin(known.redirectUrl, 'fake'), person('eve'))
    for (const state of ['', 'made-up', null]) {
      const url = new URL(answer)
      if (state === null) url.searchParams.delete('state')
      else url.searchParams.set('state', state)
      expect((await eve.open(url.href)).status).toBe(403)
    }
    const twice = new URL(answer)
    twice.searchParams.append('state', 'made-up')
    expect((await eve.open(twice.href)).status).toBe(502)
  })

  it('counts once', async () => {
    const eve = visitor()
    const answer = fake.signIn(await eve.begin('https://client.test/', 'fake'), person('evelyn'))
    expect((await eve.open(answer.href)).status).toBe(302)
    const again = await eve.open(answer.href)
    expect([again.status, again.location]).toEqual([403, null])
    expect(again.text).toContain('opened before')
  })

  it('must have a code that the provider knows, and has not taken before', async () => {
    const [eve, other] = [visitor(), visitor()]
    const first = fake.signIn(await eve.begin(known.redirectUrl, 'fake'), person('evita'))
    await eve.open(first.href)
    const second = fake.signIn(await other.begin(known.redirectUrl, 'fake'), person('evita'))
    second.searchParams.set('code', first.searchParams.get('code') ?? '')
    const shown = await other.open(second.href)
    expect([shown.status, shown.location]).toEqual([502, null])
    expect(shown.text).toContain('did not accept')
  })

  it('must be to the same attempt as the code: PKCE', async () => {
    const [eve, other] = [visitor(), visitor()]
    const first = fake.signIn(await eve.begin(known.redirectUrl, 'fake'), person('evita'))
    const second = fake.signIn(await other.begin(known.redirectUrl, 'fake'), person('evita'))
    second.searchParams.set('code', first.searchParams.get('code') ?? '')
    expect((await other.open(second.href)).status).toBe(502)
  })

  it('must name its issuer, where the provider says that it does', async () => {
    for (const iss of [null, 'https://evil.test']) {
      const eve = visitor()
      const answer = fake.signIn(await eve.begin(known.redirectUrl, 'fake'), person('eva'))
      answer.searchParams.delete('iss')
      if (iss !== null) answer.searchParams.set('iss', iss)
      expect((await eve.open(answer.href)).status).toBe(502)
    }
    expect(await userExists('@eva:test.local')).toBe(false)
  })

  it('must have a nonce of this attempt', async () => {
    fake.idToken = (claims) => ({ ...claims, nonce: 'of another' })
    expect(await refused('nonce1')).toBe(502)
    fake.idToken = without('nonce')
    expect(await refused('nonce2')).toBe(502)
  })

  it('must be by the issuer, for us, and about somebody', async () => {
    fake.idToken = (claims) => ({ ...claims, iss: 'https://evil.test' })
    expect(await refused('iss1')).toBe(502)
    fake.idToken = (claims) => ({ ...claims, aud: 'another client' })
    expect(await refused('aud1')).toBe(502)
    // Several audiences want one that it was issued to.
    fake.idToken = (claims) => ({ ...claims, aud: [clientId, 'another'], azp: 'another' })
    expect(await refused('aud2')).toBe(502)
    fake.idToken = without('sub')
    expect(await refused('sub1')).toBe(502)
    fake.idToken = (claims) => ({ ...claims, sub: 'x'.repeat(256) })
    expect(await refused('sub2')).toBe(502)
    // It would be kept as the same as that of others.
    fake.idToken = honest.idToken
    const shown = await visitor().signIn(fake, person('sub3', { sub: 'a\ud800' }), known)
    expect([shown.status, shown.location]).toEqual([502, null])
  })

  it('must not have expired, but clocks may differ a little', async () => {
    const now = Math.floor(Date.now() / 1000)
    fake.idToken = (claims) => ({ ...claims, exp: now - 120 })
    expect(await refused('exp1')).toBe(502)
    fake.idToken = without('exp')
    expect(await refused('exp2')).toBe(502)
    fake.idToken = (claims) => ({ ...claims, exp: now - 10 })
    expect((await visitor().signIn(fake, person('exp3'), known)).status).toBe(302)
  })

  it('must be signed by the provider', async () => {
    const { privateKey } = await generateKeyPair('RS256')
    fake.sign = (claims) => signed(claims, privateKey)
    expect(await refused('key1')).toBe(502)
    fake.sign = async (claims) => unsigned(claims)
    expect(await refused('key2')).toBe(502)
    fake.sign = async (claims) => {
      const [head, , signature] = (await signed(claims, fake.privateKey)).split('.')
      const payload = Buffer.from(JSON.stringify({ ...claims, sub: 'another' })).toString('base64url')
      return [head, payload, signature].join('.')
    }
    expect(await refused('key3')).toBe(502)
    fake.sign = async () => 'no token'
    expect(await refused('key4')).toBe(502)
  })

  it('may be that nobody signed in', async () => {
    const eve = visitor()
    const answer = fake.signIn(await eve.begin(known.redirectUrl, 'fake'), person('eve'))
    answer.searchParams.delete('code')
    answer.searchParams.set('error', 'access_denied')
    answer.searchParams.set('error_description', '<script>alert(1)</script>')
    const shown = await eve.open(answer.href)
    expect(shown.status).toBe(403)
    expect(shown.text).toContain('You did not sign in')
    expect(shown.text).not.toContain('alert(1)')
  })

  it('may fail in any other way, and is a page then', async () => {
    for (const body of [
      '',
      'no json',
      '[]',
      '{}',
      JSON.stringify({ access_token: 1 }),
      ' '.repeat(2 * 1024 * 1024),
    ]) {
      for (const status of [200, 500]) {
        fake.intercept = (path, response) => {
          if (path !== '/token') return false
          response.writeHead(status, { 'Content-Type': 'application/json' }).end(body)
          return true
        }
        expect(await refused('broken')).toBe(502)
      }
    }
    fake.intercept = (path, response) => {
      if (path === '/token') response.destroy()
      return path === '/token'
    }
    expect(await refused('broken')).toBe(502)
    // Nobody else gets our secret.
    fake.intercept = (path, response) => {
      if (path === '/token') response.writeHead(307, { Location: `${fake.issuer}/elsewhere` }).end()
      return path === '/token'
    }
    expect(await refused('broken')).toBe(502)
    expect(fake.asked).not.toContain('/elsewhere')
  })
})

describe('the account', () => {
  it('is chosen by a user whose name is taken, with what is wrong said on the page', async () => {
    await server.register('frank')
    const other = visitor()
    const page = await other.follow(await other.signIn(fake, person('Frank', { name: '<i>F</i>' })))
    expect(page.status).toBe(200)
    expect(page.text).toContain('&lt;i&gt;F&lt;/i&gt;')
    expect(page.text).not.toContain('<i>F')
    expect(page.text).toContain('cannot be had here')
    for (const [username, message] of [
      ['frank', 'taken'],
      ['Frank Two', 'consists of'],
      ['_frank', 'underscore'],
      ['', 'consists of'],
      ['"><script>alert(1)</script>', 'consists of'],
    ] as const) {
      const again = await other.submit(page, { username })
      expect([username, again.status]).toEqual([username, 400])
      expect(again.text).toContain(message)
      expect(again.text).not.toContain('<script>alert')
    }
    const confirm = await other.follow(await other.submit(page, { username: 'Frank.Two' }))
    expect(await loginWith(loginTokenIn(await other.submit(confirm)))).toMatchObject({
      body: { user_id: '@frank.two:test.local' },
    })
    // The owner of the name has nothing to do with it.
    const { results } = await d1("SELECT user_id FROM sso_links WHERE subject = 'subject of Frank'")
    expect(results).toEqual([{ user_id: '@frank.two:test.local' }])
  })

  it('is never one of an application service', async () => {
    const irma = visitor()
    const page = await irma.follow(await irma.signIn(fake, person('irc-irma')))
    expect(page.text).toContain('cannot be had here')
    const again = await irma.submit(page, { username: 'irc-other' })
    expect([again.status, again.text.includes('belongs to an application service')]).toEqual([400, true])
    // Nor one that there is.
    await d1("INSERT INTO users (user_id, shard, created_at) VALUES ('@irc-irma:test.local', 0, 1)")
    expect((await visitor().signIn(fake, person('irc-irma'), { idp: 'by-name' })).status).toBe(403)
    expect((await d1("SELECT 1 FROM sso_links WHERE user_id LIKE '@irc%'")).results).toEqual([])
  })

  it('is suggested a name where the provider has none that will do', async () => {
    const names: [object, string][] = [
      [{ preferred_username: 'Jürgen Müller' }, 'jurgen-muller'],
      [{ preferred_username: 'gina@example.org' }, 'gina'],
      [{ preferred_username: undefined, email: 'gil@example.org', email_verified: true }, 'gil'],
      [{ preferred_username: undefined, name: 'Ghislaine' }, 'ghislaine'],
    ]
    for (const [claims, suggestion] of names) {
      const gina = visitor()
      const page = await gina.follow(await gina.signIn(fake, person(`sub ${suggestion}`, claims)))
      expect(page.text).toMatch(new RegExp(`name="username"\\s+value="${suggestion}"`))
    }
  })

  it('is not made by who only wanted to log in before they have agreed to it', async () => {
    const henry = visitor()
    const page = await henry.follow(await henry.signIn(fake, person('henry'), { action: 'login' }))
    expect(page.text).toContain('@henry:test.local')
    expect(await userExists('@henry:test.local')).toBe(false)
    // The name is the provider's to say.
    await henry.submit(page, { username: 'somebody.else' })
    expect(await userExists('@henry:test.local')).toBe(true)
    expect(await userExists('@somebody.else:test.local')).toBe(false)
  })

  it('is one, also where the form is sent twice', async () => {
    const ida = visitor()
    const page = await ida.follow(await ida.signIn(fake, person('ida sub', { preferred_username: 'frank' })))
    const sent = await Promise.all([
      ida.submit(page, { username: 'ida1' }),
      ida.submit(page, { username: 'ida2' }),
    ])
    expect(sent.map(({ status }) => status)).toEqual([303, 303])
    const { results } = await d1("SELECT user_id FROM users WHERE user_id LIKE '@ida%'")
    expect(results).toHaveLength(1)
  })

  it('is one, also where somebody signs in in several tabs at once', async () => {
    const tabs = [visitor(), visitor(), visitor()]
    const begun = await Promise.all(tabs.map((tab) => tab.begin(known.redirectUrl, 'fake')))
    const answers = begun.map((location) => fake.signIn(location, person('isolde')).href)
    const shown = await Promise.all(tabs.map((tab, n) => tab.open(answers[n] ?? '')))
    const logins = await Promise.all(shown.map((one) => loginWith(loginTokenIn(one))))
    expect(logins.map(({ body }) => body['user_id'])).toEqual(Array(3).fill('@isolde:test.local'))
  })

  it('page is for the browser alone that signed in', async () => {
    const ivan = visitor()
    const { location } = await ivan.signIn(fake, person('ivan'), { action: 'login' })
    expect((await visitor().open(location ?? '')).status).toBe(403)
    const page = await ivan.follow(await ivan.open(location ?? ''))
    expect((await visitor().submit(page)).status).toBe(403)
    expect(await userExists('@ivan:test.local')).toBe(false)
    // Nor can it be had before anybody has signed in.
    const state = new URL(await ivan.begin('https://client.test/', 'fake')).searchParams.get('state') ?? ''
    const { createHash } = await import('node:crypto')
    const id = createHash('sha256').update(state).digest('base64url')
    for (const name of ['account', 'confirm']) {
      expect((await ivan.open(`${sso}/${name}?attempt=${id}`)).status).toBe(403)
    }
  })

  it('is refused where it is locked or was deactivated', async () => {
    for (const [name, change] of [
      ['jane', 'locked = 1'],
      ['jack', 'deactivated_at = 1'],
    ] as const) {
      const earlier = visitor()
      const page = await earlier.follow(await earlier.signIn(fake, person(name)))
      await d1(`UPDATE users SET ${change} WHERE user_id = ?`, `@${name}:test.local`)
      const shown = await visitor().signIn(fake, person(name), known)
      expect([shown.status, shown.location]).toEqual([403, null])
      expect(shown.text).toMatch(/locked|deactivated/)
      // Also between the page and its answer.
      expect((await earlier.submit(page)).status).toBe(403)
    }
  })

  it('is not made where the provider may not register', async () => {
    const shown = await visitor().signIn(fake, person('karl'), { idp: 'closed' })
    expect(shown.status).toBe(403)
    expect(await userExists('@karl:test.local')).toBe(false)
  })
})

describe('an account that was there before', () => {
  it('is found by its name where the operator wants that, and by one user of the provider', async () => {
    await server.register('laura')
    const shown = await visitor().signIn(fake, person('laura'), { idp: 'by-name', ...known })
    expect(await loginWith(loginTokenIn(shown))).toMatchObject({ body: { user_id: '@laura:test.local' } })
    const other = await visitor().signIn(fake, person('laura', { sub: 'another' }), {
      idp: 'by-name',
      ...known,
    })
    expect([other.status, other.location]).toEqual([403, null])
  })

  it('is found by a verified address where the operator wants that', async () => {
    await server.register('mary')
    await d1("INSERT INTO threepids VALUES ('email', 'mary@example.org', '@mary:test.local', 1, 1)")
    const claims = person('m', { email: 'mary@example.org' })
    expect((await visitor().signIn(fake, claims, { idp: 'by-mail', ...known })).status).toBe(403)
    const verified = { ...claims, email_verified: true }
    const shown = await visitor().signIn(fake, verified, { idp: 'by-mail', ...known })
    expect(await loginWith(loginTokenIn(shown))).toMatchObject({ body: { user_id: '@mary:test.local' } })
  })

  it('is not found otherwise', async () => {
    await server.register('nora')
    const shown = await visitor().signIn(fake, person('nora'))
    expect(shown.location).toContain(`${sso}/account`)
    expect((await d1("SELECT 1 FROM sso_links WHERE user_id = '@nora:test.local'")).results).toEqual([])
  })
})

it('writes down who signed in and why not, and neither tokens nor codes nor claims', async () => {
  const from = server.logs.length
  const omar = visitor()
  const confirm = await omar.follow(await omar.signIn(fake, person('omar', { name: 'Very Private' })))
  const token = loginTokenIn(await omar.submit(confirm))
  fake.idToken = (claims) => ({ ...claims, nonce: 'wrong-nonce' })
  await visitor().signIn(fake, person('omar'))
  await expect.poll(() => server.logs.slice(from).join('\n')).toContain('sso_refused')
  const lines = server.logs.slice(from).join('\n')
  expect(lines).toContain(
    '"event":"sso_login","user_id":"@omar:test.local","provider":"fake","purpose":"login"',
  )
  expect(lines).toMatch(/"event":"sso_refused","reason":"invalid-answer","detail":"fake: /)
  for (const secret of [
    token,
    clientSecret,
    'code-',
    'access-',
    'Very Private',
    'subject of',
    'wrong-nonce',
  ]) {
    expect(lines).not.toContain(secret)
  }
})

it('serves the icons of providers to people without an access token, and nothing else', async () => {
  const { token } = await server.register('pia')
  for (const name of ['icon', 'other']) {
    const upload = await server.request('POST', '/_matrix/media/v3/upload', { token, body: {} })
    await d1(
      'UPDATE media SET media_id = ? WHERE media_id = ?',
      name,
      textOf(upload.body, 'content_uri').replace(/.*\//, ''),
    )
  }
  expect((await server.fetch('/_matrix/media/v3/download/test.local/icon')).status).toBe(200)
  expect((await server.fetch('/_matrix/media/v3/download/test.local/other')).status).toBe(404)
})
