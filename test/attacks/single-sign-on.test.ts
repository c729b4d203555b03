// Attack: getting at somebody else's account on the way through an identity provider. RFC 9700, "Attacks and Mitigations".

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import {
  type Claims,
  clientId,
  clientSecret,
  type FakeProvider,
  startFakeProvider,
} from '../support/fake-openid-provider.ts'
import { freePort } from '../support/launcher.ts'
import { mailbox, mailVars } from '../support/mailbox.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { loginTokenIn, newVisitor, type Visitor } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

const api = '/_matrix/client/v3'
const known = { redirectUrl: 'https://known.test/' }
const box = mailbox()

let server: TestServer
let fake: FakeProvider
beforeAll(async () => {
  fake = await startFakeProvider()
  const port = await freePort()
  const of = (id: string, more: object) => ({
    id,
    name: id,
    issuer: fake.issuer,
    client_id: clientId,
    client_secret: clientSecret,
    ...more,
  })
  server = await startServer({
    port,
    mail: box.handler,
    vars: {
      ...mailVars,
      PASSWORD_LOGIN: 'off',
      PUBLIC_BASE_URL: `http://127.0.0.1:${port}`,
      SSO_PROVIDERS: JSON.stringify([
        of('fake', { register: true }),
        of('by-mail', { link_existing: 'email', email_claim: 'email' }),
      ]),
      SSO_CLIENT_WHITELIST: 'https://known.test/',
    },
  })
})
afterAll(async () => {
  await server.stop()
  await fake.stop()
})

const visitor = () => newVisitor(server.url)
const person = (name: string, more: object = {}): Claims => ({
  sub: `subject of ${name}`,
  preferred_username: name,
  ...more,
})
const d1 = async (sql: string, ...values: string[]) => {
  const db = await server.mf.getD1Database('DB')
  const statement = db.prepare(sql)
  return await (values.length === 0 ? statement : statement.bind(...values)).all()
}
/** The address with which an attempt goes on, of the page where it has got to. */
const attemptIn = (location: string | null) => new URL(location ?? '').searchParams.get('attempt') ?? ''

describe('who has planted the cookie of their own attempt in the browser of somebody else', () => {
  /** As a site beside this server may, one domain level up. */
  const plant = (mallory: Visitor, victim: Visitor) => {
    for (const [name, cookie] of mallory.cookies) victim.cookies.set(name, cookie)
  }

  it('does not get the account of who signs in there', async () => {
    const [mallory, victim] = [visitor(), visitor()]
    const begun = await mallory.begin('https://client.test/', 'fake')
    plant(mallory, victim)
    const shown = await victim.open(fake.signIn(begun, person('alice')).href)
    const attempt = attemptIn(shown.location)
    expect(attempt).not.toBe('')
    const stolen = await mallory.open('/_matrix/client/unstable/hearth/sso/confirm', {
      method: 'POST',
      body: new URLSearchParams({ attempt }),
    })
    expect([stolen.status, stolen.location]).toEqual([403, null])
    // While who has signed in can go on.
    const page = await victim.follow(shown)
    expect(loginTokenIn(await victim.submit(page))).toMatch(/./)
  })

  it('does not get the account that somebody is about to make either', async () => {
    const [mallory, victim] = [visitor(), visitor()]
    const begun = await mallory.begin('https://client.test/', 'fake', { action: 'login' })
    plant(mallory, victim)
    const shown = await victim.open(fake.signIn(begun, person('anna')).href)
    const page = await mallory.open(shown.location ?? '')
    expect(page.status).toBe(403)
    expect((await victim.open(shown.location ?? '')).status).toBe(200)
  })

  it('does not confirm what they ask for in the name of somebody else', async () => {
    const first = await visitor().signIn(fake, person('bob'), known)
    const { body } = await server.request('POST', `${api}/login`, {
      body: { type: 'm.login.token', token: loginTokenIn(first) },
    })
    const token = textOf(body, 'access_token')
    const path = `${api}/devices/${textOf(body, 'device_id')}`
    const asked = await server.request('DELETE', path, { token, body: {} })
    const auth = { session: textOf(asked.body, 'session') }
    const [mallory, victim] = [visitor(), visitor()]
    const begun = await mallory.open(`${api}/auth/m.login.sso/fallback/web?session=${auth.session}`)
    plant(mallory, victim)
    const shown = await victim.open(fake.signIn(begun.location ?? '', person('bob')).href)
    const stolen = await mallory.open('/_matrix/client/unstable/hearth/sso/confirm', {
      method: 'POST',
      body: new URLSearchParams({ attempt: attemptIn(shown.location) }),
    })
    expect(stolen.status).toBe(403)
    expect((await server.request('DELETE', path, { token, body: { auth } })).status).toBe(401)
  })
})

it('an answer that comes twice at once counts once', async () => {
  const greta = visitor()
  const answer = fake.signIn(await greta.begin(known.redirectUrl, 'fake'), person('greta'))
  const shown = await Promise.all([1, 2, 3].map(() => greta.open(answer.href)))
  expect(shown.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([302, 403, 403])
})

it('what somebody has confirmed by signing in is done as it was asked for, and nothing else', async () => {
  const first = await visitor().signIn(fake, person('hanna'), known)
  const { body } = await server.request('POST', `${api}/login`, {
    body: { type: 'm.login.token', token: loginTokenIn(first) },
  })
  const token = textOf(body, 'access_token')
  const post = (path: string, more: JsonObject) =>
    server.request('POST', `${api}/${path}`, { token, body: more })
  const asked = await post('delete_devices', { devices: ['OLD'] })
  const auth = { session: textOf(asked.body, 'session') }
  const hanna = visitor()
  const begun = await hanna.open(`${api}/auth/m.login.sso/fallback/web?session=${auth.session}`)
  const page = await hanna.follow(await hanna.open(fake.signIn(begun.location ?? '', person('hanna')).href))
  expect((await hanna.submit(page)).status).toBe(200)
  const others: [string, JsonObject][] = [
    ['delete_devices', { devices: [textOf(body, 'device_id')] }],
    ['account/deactivate', {}],
    ['account/deactivate', { devices: ['OLD'] }],
  ]
  for (const [path, more] of others) {
    expect(await post(path, { ...more, auth })).toMatchObject({
      status: 403,
      body: { errcode: 'M_FORBIDDEN' },
    })
  }
  expect((await post('delete_devices', { devices: ['OLD'], auth })).status).toBe(200)
})

// RFC 9700, section 4.4: a provider sends its user on to another one, and waits for the code of that.
it('a provider does not get the code of another one', async () => {
  const carol = visitor()
  const toFake = await carol.begin(known.redirectUrl, 'fake')
  const answer = fake.signIn(toFake, person('carol'))
  const back = (idp: string) => new URL(toFake).searchParams.get('redirect_uri')?.replace(/[^/]*$/, idp) ?? ''
  expect(new URL(toFake).searchParams.get('redirect_uri')).toBe(back('fake'))
  const exchanges = () => fake.asked.filter((path) => path === '/token').length
  const before = exchanges()
  const shown = await carol.open(`${back('by-mail')}${answer.search}`)
  expect([shown.status, shown.location]).toEqual([502, null])
  expect(exchanges()).toBe(before)
})

describe('an account that is found by its address', () => {
  it('is not that of another domain which is taken for the same', async () => {
    await d1("INSERT INTO users (user_id, shard, created_at) VALUES ('@dora:test.local', 0, 1)")
    await d1("INSERT INTO profiles (user_id) VALUES ('@dora:test.local')")
    await d1("INSERT INTO threepids VALUES ('email', 'dora@strasse.test', '@dora:test.local', 1, 1)")
    for (const email of ['dora@straße.test', 'dora@ſtrasse.test']) {
      const claims = person('mallory', { email, email_verified: true })
      const shown = await visitor().signIn(fake, claims, { idp: 'by-mail', ...known })
      expect([email, shown.status]).toEqual([email, 403])
    }
    const own = person('d', { email: 'Dora@Strasse.test', email_verified: true })
    const shown = await visitor().signIn(fake, own, { idp: 'by-mail', ...known })
    expect(loginTokenIn(shown)).toMatch(/./)
  })
})

describe('PASSWORD_LOGIN=off', () => {
  it('sends no mails for passwords that nobody can have', async () => {
    const request = { client_secret: 'secret', email: 'erik@example.org', send_attempt: 1 }
    for (const path of ['register', 'account/password']) {
      const answer = await server.request('POST', `${api}/${path}/email/requestToken`, { body: request })
      expect([path, answer.status, answer.body['errcode']]).toEqual([path, 403, 'M_THREEPID_DENIED'])
    }
    expect(box.received).toEqual([])
  })
})

it('a database that fails brings no secrets into the log', async () => {
  const from = server.logs.length
  const frida = visitor()
  const answer = fake.signIn(
    await frida.begin(known.redirectUrl, 'fake'),
    person('frida', { sub: 'very-secret' }),
  )
  const begun = await d1('SELECT nonce, code_verifier FROM sso_attempts')
  await d1('ALTER TABLE sso_links RENAME TO sso_links_away')
  const shown = await frida.open(answer.href)
  await d1('ALTER TABLE sso_links_away RENAME TO sso_links')
  expect(shown.status).toBe(500)
  await expect.poll(() => server.logs.slice(from).join('\n')).toContain('request_failed')
  const lines = server.logs.slice(from).join('\n')
  expect(lines).toContain('no such table')
  for (const secret of ['very-secret', ...begun.results.flatMap((row) => Object.values(row)).map(String)]) {
    expect(lines).not.toContain(secret)
  }
})
