// m.login.sso as a stage of interactive authentication. Specification: client-server API, "SSO during User-Interactive
// Authentication".

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
import { type Account, startServer, type TestServer } from '../support/server.ts'
import { loginTokenIn, newVisitor, type Shown, type Visitor } from '../support/sso-visitor.ts'
import { textOf } from '../support/text-of.ts'

const api = '/_matrix/client/v3'
const known = { redirectUrl: 'https://known.test/' }

let server: TestServer
let fake: FakeProvider
beforeAll(async () => {
  fake = await startFakeProvider()
  const port = await freePort()
  const providers = ['fake', 'second', 'by-name'].map((id) => ({
    id,
    name: `Name of ${id}`,
    issuer: fake.issuer,
    client_id: clientId,
    client_secret: clientSecret,
    register: true,
    link_existing: id === 'fake' ? 'off' : 'localpart',
  }))
  server = await startServer({
    port,
    mail: mailbox().handler,
    vars: {
      ...mailVars,
      PUBLIC_BASE_URL: `http://127.0.0.1:${port}`,
      SSO_PROVIDERS: JSON.stringify(providers),
      SSO_CLIENT_WHITELIST: 'https://known.test/',
    },
  })
})
afterAll(async () => {
  await server.stop()
  await fake.stop()
})

const visitor = () => newVisitor(server.url)
const person = (name: string): Claims => ({ sub: `subject of ${name}`, preferred_username: name })

/** Signs in, for the first time or again, and logs in. */
async function login(name: string, idp = 'fake'): Promise<Account> {
  const shown = await visitor().signIn(fake, person(name), { idp, ...known })
  const { body } = await server.request('POST', `${api}/login`, {
    body: { type: 'm.login.token', token: loginTokenIn(shown) },
  })
  return {
    userId: textOf(body, 'user_id'),
    token: textOf(body, 'access_token'),
    deviceId: textOf(body, 'device_id'),
  }
}

const deleteDevice = ({ token, deviceId }: Account, auth?: JsonObject) =>
  server.request('DELETE', `${api}/devices/${deviceId}`, { token, body: auth ? { auth } : {} })
const stagePath = (session: string) => `${api}/auth/m.login.sso/fallback/web?session=${session}`

/** Opens the stage's page, signs in as somebody, and answers what they are shown then. */
async function signInAgain(browser: Visitor, session: string, claims: Claims, more = ''): Promise<Shown> {
  const { location, text } = await browser.open(`${stagePath(session)}${more}`)
  if (location === null) throw new Error(text)
  return await browser.follow(await browser.open(fake.signIn(location, claims).href))
}

async function sessionOf(account: Account): Promise<string> {
  return textOf((await deleteDevice(account)).body, 'session')
}

describe('a user without a password', () => {
  it('confirms by signing in once more', async () => {
    const alice = await login('alice')
    const asked = await deleteDevice(alice)
    expect(asked).toMatchObject({ status: 401, body: { flows: [{ stages: ['m.login.sso'] }] } })
    const session = textOf(asked.body, 'session')
    // A client that knows nothing of pages gets no further.
    const tried = await deleteDevice(alice, { type: 'm.login.sso', session })
    expect(tried).toMatchObject({ status: 401, body: { errcode: 'M_UNAUTHORIZED', session } })
    expect(tried.body['completed']).toBeUndefined()

    const browser = visitor()
    const page = await signInAgain(browser, session, person('alice'))
    expect(page.status).toBe(200)
    expect(page.text).toContain('log devices out')
    expect(page.text).toContain('@alice:test.local')
    // Signing in, which may happen by itself, is not to agree.
    expect((await deleteDevice(alice, { session })).status).toBe(401)
    const done = await browser.submit(page)
    expect(done.status).toBe(200)
    expect(done.text).toContain('onAuthDone')
    expect(browser.cookies.size).toBe(0)
    expect((await deleteDevice(alice, { session })).status).toBe(200)
    // Once for all.
    expect((await browser.submit(page)).status).toBe(403)
    expect((await browser.open(stagePath(session))).status).toBe(404)
  })

  it('is offered nothing else, wherever a password would do', async () => {
    const { token, deviceId } = await login('bob')
    const requests: [string, string, JsonObject][] = [
      ['DELETE', `v3/devices/${deviceId}`, {}],
      ['POST', 'v3/delete_devices', { devices: [deviceId] }],
      ['POST', 'v3/account/password', { new_password: 'sUp3rs3kr1t' }],
      ['POST', 'v3/account/deactivate', {}],
      ['POST', 'v3/account/3pid/add', { client_secret: 'secret', sid: 'sid' }],
      ['POST', 'v1/login/get_token', {}],
    ]
    for (const [method, path, body] of requests) {
      const asked = await server.request(method, `/_matrix/client/${path}`, { token, body })
      expect([path, asked.status, asked.body['flows']]).toEqual([path, 401, [{ stages: ['m.login.sso'] }]])
    }
  })

  it('is not confirmed by somebody else, with or without an account', async () => {
    const carol = await login('carol')
    await login('mallory')
    const session = await sessionOf(carol)
    for (const name of ['mallory', 'nobody']) {
      const shown = await signInAgain(visitor(), session, person(name))
      expect(shown.status).toBe(403)
      expect(shown.text).toContain('somebody else')
    }
    expect((await deleteDevice(carol, { session })).status).toBe(401)
    const profile = await server.request('GET', `${api}/profile/@nobody:test.local`)
    expect(profile.status).toBe(404)
  })

  it('confirms in one browser, and for one session', async () => {
    const dora = await login('dora')
    const [session, other] = [await sessionOf(dora), await sessionOf(dora)]
    const browser = visitor()
    const page = await signInAgain(browser, session, person('dora'))
    expect((await visitor().submit(page)).status).toBe(403)
    expect((await deleteDevice(dora, { session })).status).toBe(401)
    await browser.submit(page)
    expect((await deleteDevice(dora, { session: other })).status).toBe(401)
    expect((await deleteDevice(dora, { session })).status).toBe(200)
  })

  it('does not confirm by a login, nor log in by confirming', async () => {
    const emil = await login('emil')
    const session = await sessionOf(emil)
    await login('emil')
    expect((await deleteDevice(emil, { session })).status).toBe(401)
    const browser = visitor()
    const done = await browser.submit(await signInAgain(browser, session, person('emil')))
    expect([done.status, done.location]).toEqual([200, null])
    expect(done.text).not.toContain('loginToken')
  })

  it('cannot confirm once the account is locked, or the request is gone', async () => {
    const frida = await login('frida')
    const session = await sessionOf(frida)
    const browser = visitor()
    const page = await signInAgain(browser, session, person('frida'))
    const db = await server.mf.getD1Database('DB')
    const lock = async (value: number) =>
      await db.prepare('UPDATE users SET locked = ? WHERE user_id = ?').bind(value, frida.userId).run()
    await lock(1)
    expect((await browser.submit(page)).status).toBe(403)
    await lock(0)
    await db.prepare('DELETE FROM interactive_auth_sessions').run()
    expect((await browser.submit(page)).status).toBe(403)
  })
})

describe('a user with several means', () => {
  it('takes the password or any provider they are linked with', async () => {
    const gina = await server.register('gina')
    expect((await deleteDevice(gina)).body['flows']).toEqual([{ stages: ['m.login.password'] }])
    await login('gina', 'second')
    await login('gina', 'by-name')
    const asked = await deleteDevice(gina)
    expect(asked.body['flows']).toEqual([{ stages: ['m.login.password'] }, { stages: ['m.login.sso'] }])
    const session = textOf(asked.body, 'session')
    const page = await visitor().open(stagePath(session))
    expect(page.status).toBe(200)
    expect(page.text).toContain('log devices out')
    expect(page.text).toContain('provider=second')
    expect(page.text).toContain('provider=by-name')
    expect(page.text).not.toContain('provider=fake')
    // Only one that is linked will do.
    expect((await visitor().open(`${stagePath(session)}&provider=fake`)).status).toBe(404)
    const browser = visitor()
    await browser.submit(await signInAgain(browser, session, person('gina'), '&provider=by-name'))
    expect((await deleteDevice(gina, { session })).status).toBe(200)
  })

  it('has the password alone without a link', async () => {
    const hugo = await server.register('hugo')
    const session = await sessionOf(hugo)
    const page = await visitor().open(stagePath(session))
    expect(page.status).toBe(403)
    expect(page.text).toContain('not the next step')
    const auth = { type: 'm.login.password', session, user: 'hugo', password: 'password of hugo' }
    expect((await deleteDevice(hugo, auth)).status).toBe(200)
  })

  it('cannot do anything without either', async () => {
    const ida = await server.register('ida')
    const db = await server.mf.getD1Database('DB')
    await db.prepare('UPDATE users SET password_hash = NULL WHERE user_id = ?').bind(ida.userId).run()
    expect(await deleteDevice(ida)).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } })
  })
})

it('has no page for a session that there is not', async () => {
  expect((await visitor().open(stagePath('made-up'))).status).toBe(404)
})
