// What a confirmed address is good for: registration, a new password, login. Over HTTP, with mails kept in memory.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { confirm, mailbox, mailVars } from '../support/mailbox.ts'
import { newClient, refusal } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const api = '/_matrix/client/v3'
const stage = 'm.login.email.identity'
const box = mailbox()
let server: TestServer
beforeAll(async () => {
  server = await startServer({ mail: box.handler, vars: mailVars })
})
afterAll(() => server.stop())

let n = 0
let name: string
let address: string
beforeEach(() => {
  n += 1
  name = `user${n}`
  address = `${name}@example.org`
  box.received.length = 0
})

type Purpose = 'register' | 'account/password'

/** Asks for a mail. */
async function requested(purpose: Purpose, email = address, secret = 'secret'): Promise<JsonObject> {
  const { body } = await server.request('POST', `${api}/${purpose}/email/requestToken`, {
    body: { client_secret: secret, email, send_attempt: 1 },
  })
  return { sid: textOf(body, 'sid'), client_secret: secret }
}

/** Confirms what was asked for last. */
async function confirmLast(): Promise<void> {
  const mail = box.received.at(-1)
  if (!mail) throw new Error('no mail')
  expect((await confirm(server, mail)).status).toBe(200)
}

async function confirmedFor(purpose: Purpose, email = address, secret = 'secret'): Promise<JsonObject> {
  const credentials = await requested(purpose, email, secret)
  await confirmLast()
  return credentials
}

const post = (path: string, body: JsonObject, token?: string, at: TestServer = server) =>
  at.request('POST', `${api}${path}`, { body, ...(token === undefined ? {} : { token }) })

async function sessionFor(path: string, body: JsonObject): Promise<string> {
  const answer = await post(path, body)
  expect(answer.status).toBe(401)
  return textOf(answer.body, 'session')
}

const byMail = (session: string, credentials: JsonValue): JsonObject => ({
  type: stage,
  session,
  threepid_creds: credentials,
})

const newUser = () => ({ username: name, password: `password of ${name}` })

/** A user whose account has the address. */
async function registered(): Promise<{ token: string; userId: string }> {
  const session = await sessionFor('/register', newUser())
  const credentials = await confirmedFor('register')
  const { status, body } = await post('/register', { ...newUser(), auth: byMail(session, credentials) })
  expect(status).toBe(200)
  box.received.length = 0
  return { token: textOf(body, 'access_token'), userId: textOf(body, 'user_id') }
}

const login = (identification: JsonObject, password = `password of ${name}`) =>
  post('/login', { type: 'm.login.password', password, ...identification })

describe('registration', () => {
  it('can be with an address, which the account then has', async () => {
    const first = await post('/register', newUser())
    expect(first.body.flows).toEqual([{ stages: ['m.login.dummy'] }, { stages: [stage] }])
    const session = textOf(first.body, 'session')
    const credentials = await requested('register')
    // The client asks until the user has confirmed.
    for (let times = 0; times < 3; times++) {
      const pending = await post('/register', { ...newUser(), auth: byMail(session, credentials) })
      expect(pending).toMatchObject({
        status: 401,
        body: { errcode: 'M_UNAUTHORIZED', session, flows: [{}, {}] },
      })
    }
    await confirmLast()
    const done = await post('/register', { ...newUser(), auth: byMail(session, credentials) })
    expect(done).toMatchObject({ status: 200, body: { user_id: `@${name}:test.local` } })
    const token = textOf(done.body, 'access_token')
    const { body } = await server.request('GET', `${api}/account/3pid`, { token })
    expect(body.threepids).toMatchObject([{ medium: 'email', address }])
  })

  it('can go on without one, and be finished by type-less requests of a client that shows pages', async () => {
    const session = await sessionFor('/register', newUser())
    expect(await post('/register', { ...newUser(), auth: { session } })).toMatchObject({ status: 401 })
    const done = await post('/register', { ...newUser(), auth: { session, type: 'm.login.dummy' } })
    expect(done.status).toBe(200)
  })

  it('accepts no session that is not validated, unknown, of another purpose or of another secret', async () => {
    const session = await sessionFor('/register', newUser())
    const credentials = await confirmedFor('register')
    const reset = await requested('account/password')
    for (const wrong of [
      { ...credentials, client_secret: 'other' },
      { ...credentials, sid: 'unknown' },
      await requested('register', address, 'another'),
      reset,
    ]) {
      const answer = await post('/register', { ...newUser(), auth: byMail(session, wrong) })
      expect(answer).toEqual(refusal(401, 'M_UNAUTHORIZED'))
    }
    const elsewhere = { sid: 'x', client_secret: 'y', id_server: 'identity.example.org' }
    expect(await post('/register', { ...newUser(), auth: byMail(session, elsewhere) })).toEqual(
      refusal(401, 'M_SERVER_NOT_TRUSTED'),
    )
    expect(await post('/register', { ...newUser(), auth: byMail(session, {}) })).toEqual(
      refusal(400, 'M_MISSING_PARAM'),
    )
    // Those who still name an identity server are served all the same.
    const old = { ...credentials, id_server: 'identity.example.org' }
    const done = await post('/register', { ...newUser(), auth: byMail(session, old) })
    expect(done.status).toBe(200)
  })

  it('gives one account for one confirmed address, also when two ask at once', async () => {
    const credentials = await confirmedFor('register')
    const attempts = ['a', 'b'].map(async (letter) => {
      const user = { username: `${name}${letter}`, password: 'long enough' }
      const session = await sessionFor('/register', user)
      return await post('/register', { ...user, auth: byMail(session, credentials) })
    })
    const statuses = (await Promise.all(attempts)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 200).length).toBe(1)
    const again = { username: `${name}c`, password: 'long enough' }
    const session = await sessionFor('/register', again)
    expect((await post('/register', { ...again, auth: byMail(session, credentials) })).status).not.toBe(200)
    const db = await server.mf.getD1Database('DB')
    const { results } = await db
      .prepare('SELECT user_id FROM users WHERE user_id LIKE ?')
      .bind(`@${name}_:%`)
      .all()
    expect(results.length).toBe(1)
  })

  it('does not take an address that somebody has added meanwhile', async () => {
    const session = await sessionFor('/register', newUser())
    const credentials = await confirmedFor('register')
    const db = await server.mf.getD1Database('DB')
    await db
      .prepare("INSERT INTO threepids VALUES ('email', ?, '@other:test.local', 1, 1)")
      .bind(address)
      .run()
    const answer = await post('/register', { ...newUser(), auth: byMail(session, credentials) })
    expect(answer).toEqual(refusal(400, 'M_THREEPID_IN_USE'))
    const available = await server.request('GET', `${api}/register/available?username=${name}`)
    expect(available.status).toBe(200)
  })

  it('needs an address where the operator wants one, after a token', async () => {
    const strict = await startServer({
      mail: box.handler,
      vars: { ...mailVars, REGISTRATION_EMAIL: 'required', REGISTRATION: 'token', FIRST_USER_TOKEN: 'first' },
    })
    const ask = (body: JsonObject) => post('/register', body, undefined, strict)
    const first = await ask(newUser())
    expect(first.body.flows).toEqual([{ stages: ['m.login.registration_token', stage] }])
    const session = textOf(first.body, 'session')
    const second = await ask({
      ...newUser(),
      auth: { session, type: 'm.login.registration_token', token: 'first' },
    })
    expect(second).toMatchObject({ status: 401, body: { completed: ['m.login.registration_token'] } })
    const { body } = await post(
      '/register/email/requestToken',
      { client_secret: 's', email: address, send_attempt: 1 },
      undefined,
      strict,
    )
    const mail = box.received.at(-1)
    if (mail) await confirm(strict, mail)
    const credentials = { sid: textOf(body, 'sid'), client_secret: 's' }
    expect((await ask({ ...newUser(), auth: byMail(session, credentials) })).status).toBe(200)
    await strict.stop()
  })

  it('gives a guest who becomes a user their address, once', async () => {
    const { body: guest } = await post('/register?kind=guest', {})
    const userId = textOf(guest, 'user_id')
    const upgrade = {
      username: userId.slice(1, userId.indexOf(':')),
      password: 'long enough',
      guest_access_token: textOf(guest, 'access_token'),
    }
    const session = await sessionFor('/register', upgrade)
    const credentials = await confirmedFor('register')
    const done = await post('/register', { ...upgrade, auth: byMail(session, credentials) })
    expect(done).toMatchObject({ status: 200, body: { user_id: userId } })
    const token = textOf(done.body, 'access_token')
    const { body } = await server.request('GET', `${api}/account/3pid`, { token })
    expect(body.threepids).toMatchObject([{ address }])
    const another = await sessionFor('/register', newUser())
    const again = await post('/register', { ...newUser(), auth: byMail(another, credentials) })
    expect(again).toEqual(refusal(401, 'M_UNAUTHORIZED'))
  })

  it('asks for no address where there is no mail, or the operator wants none', async () => {
    for (const options of [{}, { mail: box.handler, vars: { ...mailVars, REGISTRATION_EMAIL: 'off' } }]) {
      const other = await startServer(options)
      const { body } = await post('/register', newUser(), undefined, other)
      expect(body.flows).toEqual([{ stages: ['m.login.dummy'] }])
      await other.stop()
    }
  })

  it('can be asked about by a polling client, but not begun as often', async () => {
    const limited = await startServer({ mail: box.handler, vars: { ...mailVars, RATE_LIMITS: 'on' } })
    const first = await post('/register', newUser(), undefined, limited)
    const session = textOf(first.body, 'session')
    const auth = byMail(session, { sid: 'x', client_secret: 'y' })
    for (let times = 0; times < 30; times++) {
      expect((await post('/register', { ...newUser(), auth }, undefined, limited)).status).toBe(401)
    }
    const statuses = []
    for (let times = 0; times < 12; times++) {
      statuses.push((await post('/register', newUser(), undefined, limited)).status)
    }
    expect(statuses).toContain(429)
    await limited.stop()
  })
})

describe('the fallback page', () => {
  const pagePath = (session: string) => `${api}/auth/${stage}/fallback/web?session=${session}`
  const submit = async (session: string, fields: Record<string, string>) => {
    const response = await server.fetch(pagePath(session), {
      method: 'POST',
      body: new URLSearchParams(fields),
    })
    return { status: response.status, text: await response.text() }
  }

  it('asks for an address, waits for its confirmation, and then is done', async () => {
    const session = await sessionFor('/register', newUser())
    expect(await (await server.fetch(pagePath(session))).text()).toContain('name="email"')
    expect((await submit(session, { email: 'nothing' })).text).toContain('not an address')
    const sent = await submit(session, { email: ` ${address} ` })
    expect(sent.text).toContain(`A mail is on its way to ${address}.`)
    expect((await submit(session, { email: '' })).text).toContain('has not been confirmed yet')
    await confirmLast()
    expect((await submit(session, { email: '' })).text).toContain('onAuthDone')
    const done = await post('/register', { ...newUser(), auth: { session } })
    expect(done.status).toBe(200)
    const token = textOf(done.body, 'access_token')
    const { body } = await server.request('GET', `${api}/account/3pid`, { token })
    expect(body.threepids).toMatchObject([{ address }])
  })

  it('is done without its button too, once the address is confirmed', async () => {
    const session = await sessionFor('/register', newUser())
    await submit(session, { email: address })
    await confirmLast()
    expect((await post('/register', { ...newUser(), auth: { session } })).status).toBe(200)
  })
})

describe('a forgotten password', () => {
  const change = { new_password: 'a new password' }
  const reset = async (credentials: JsonObject) => {
    const session = await sessionFor('/account/password', change)
    return await post('/account/password', { ...change, auth: byMail(session, credentials) })
  }

  it('is replaced by who has an address of the account', async () => {
    const { token, userId } = await registered()
    const first = await post('/account/password', change)
    expect(first.body.flows).toEqual([{ stages: ['m.login.password'] }, { stages: [stage] }])
    const credentials = await requested('account/password')
    expect(await reset(credentials)).toEqual(refusal(401, 'M_UNAUTHORIZED'))
    await confirmLast()
    expect(await reset(credentials)).toMatchObject({ status: 200, body: {} })
    expect((await login({ user: name })).status).toBe(403)
    expect(await login({ user: name }, 'a new password')).toMatchObject({ body: { user_id: userId } })
    // Whoever knew the old one is out.
    expect(await server.request('GET', `${api}/account/whoami`, { token })).toEqual(
      refusal(401, 'M_UNKNOWN_TOKEN'),
    )
    // A confirmation is good for one new password.
    expect(await reset(credentials)).toEqual(refusal(401, 'M_UNAUTHORIZED'))
  })

  it('is set once, when the client asks twice at once', async () => {
    await registered()
    const credentials = await confirmedFor('account/password')
    const answers = await Promise.all([reset(credentials), reset(credentials)])
    expect(answers.filter(({ status }) => status === 200).length).toBe(1)
  })

  it('is not replaced by who has an address of nobody, or has confirmed it for something else', async () => {
    await registered()
    const nobody = await requested('account/password', 'nobody@example.org')
    expect(box.received.at(-1)?.text).toContain('No account has it')
    expect(await reset(nobody)).toEqual(refusal(401, 'M_UNAUTHORIZED'))
    const other = await confirmedFor('register', 'free@example.org')
    expect(await reset(other)).toEqual(refusal(401, 'M_UNAUTHORIZED'))
  })

  it('is not replaced by who had the address before', async () => {
    const { token } = await registered()
    const credentials = await confirmedFor('account/password')
    const removal = { medium: 'email', address }
    expect((await post('/account/3pid/delete', removal, token)).status).toBe(200)
    expect(await reset(credentials)).toEqual(refusal(400, 'M_THREEPID_NOT_FOUND'))
  })

  it('lets in whom wrong ones have locked out', async () => {
    await registered()
    let locked = 200
    for (let times = 0; times < 30 && locked !== 429; times++) {
      locked = (await login({ user: name }, 'wrong password')).status
    }
    expect(locked).toBe(429)
    expect((await reset(await confirmedFor('account/password'))).status).toBe(200)
    expect((await login({ user: name }, 'a new password')).status).toBe(200)
  })

  it('is none for who is signed in', async () => {
    const { token } = await registered()
    const { body } = await post('/account/password', change, token)
    expect(body.flows).toEqual([{ stages: ['m.login.password'] }])
  })
})

describe('login with an address', () => {
  it.each<[string, (email: string) => JsonObject]>([
    [
      'an identifier',
      (email) => ({ identifier: { type: 'm.id.thirdparty', medium: 'email', address: email } }),
    ],
    ['an identifier without its type', (email) => ({ identifier: { medium: 'email', address: email } })],
    ['the old fields', (email) => ({ medium: 'email', address: email })],
  ])('by %s', async (_, identification) => {
    const { userId } = await registered()
    for (const written of [address, `User${n}@EXAMPLE.org`]) {
      expect(await login(identification(written))).toMatchObject({ status: 200, body: { user_id: userId } })
    }
    expect(await login(identification(address), 'wrong password')).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await login(identification('nobody@example.org'))).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await login(identification('nothing'))).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  it('fails alike, and locks out alike, whether anybody has it', async () => {
    await registered()
    const outcomes = await Promise.all(
      [address, 'unknown@example.org'].map(async (email) => {
        const statuses = []
        for (let times = 0; times < 12; times++) {
          statuses.push((await login({ medium: 'email', address: email }, 'wrong password')).status)
        }
        return statuses
      }),
    )
    expect(outcomes[1]).toEqual(outcomes[0])
  })

  it.each<[string, JsonObject, number, string]>([
    ['no address', { identifier: { type: 'm.id.thirdparty', medium: 'email' } }, 400, 'M_MISSING_PARAM'],
    ['a phone number', { identifier: { type: 'm.id.phone', country: 'GB', phone: '1' } }, 403, 'M_FORBIDDEN'],
    ['a number as address', { medium: 'msisdn', address: '4912345' }, 403, 'M_FORBIDDEN'],
    ['an identifier of no type', { identifier: { user: 'a' } }, 400, 'M_UNKNOWN'],
    ['an unknown type', { identifier: { type: 'm.id.other' } }, 400, 'M_UNKNOWN'],
  ])('is refused with %s', async (_, identification, status, errcode) => {
    expect(await login(identification)).toEqual(refusal(status, errcode))
  })

  it('is also how one authenticates for something else', async () => {
    const { token } = await registered()
    const path = '/_matrix/client/v1/login/get_token'
    const { body } = await server.request('POST', path, { token, body: {} })
    const auth = {
      type: 'm.login.password',
      session: textOf(body, 'session'),
      identifier: { type: 'm.id.thirdparty', medium: 'email', address },
      password: `password of ${name}`,
    }
    expect((await server.request('POST', path, { token, body: { auth } })).status).toBe(200)
  })
})

it('no address is logged', async () => {
  const client = await newClient(server, `${name}x`)
  await client.call('POST', '/account/3pid/email/requestToken', { email: address })
  await registered()
  await login({ medium: 'email', address }, 'wrong password')
  expect(server.logs.join('\n')).not.toContain('@example.org')
})
