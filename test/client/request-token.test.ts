// Tokens by mail, and what comes of them: over HTTP, with mails kept in memory.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { confirm, linkIn, mailBaseUrl, mailbox, mailVars, tokenIn } from '../support/mailbox.ts'
import { refusal } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const api = '/_matrix/client/v3'
const submitPath = '/_matrix/client/unstable/hearth/email/submit_token'
const box = mailbox()
let server: TestServer
beforeAll(async () => {
  server = await startServer({ mail: box.handler, vars: mailVars })
})
afterAll(() => server.stop())

let n = 0
let address: string
beforeEach(() => {
  n += 1
  address = `user${n}@example.org`
  box.received.length = 0
  box.fails = false
})

const body = (more: JsonObject = {}) => ({
  client_secret: 'a.secret=_-1',
  email: address,
  send_attempt: 1,
  ...more,
})

type Purpose = 'register' | 'account/password' | 'account/3pid'

const requestToken = (more: JsonObject = {}, purpose: Purpose = 'account/3pid', at: TestServer = server) =>
  at.request('POST', `${api}/${purpose}/email/requestToken`, { body: body(more) })

async function sessionOf(more: JsonObject = {}): Promise<string> {
  const answer = await requestToken(more)
  expect(answer).toMatchObject({ status: 200, body: { sid: expect.any(String) } })
  return textOf(answer.body, 'sid')
}

const submit = (fields: JsonObject) =>
  server.request('POST', submitPath, { body: { client_secret: 'a.secret=_-1', ...fields } })

async function database() {
  return await server.mf.getD1Database('DB')
}

async function isValidated(sid: string): Promise<boolean> {
  const row = await (
    await database()
  )
    .prepare('SELECT validated_at FROM threepid_validations WHERE sid = ?')
    .bind(sid)
    .first<{ validated_at: number | null }>()
  return row?.validated_at != null
}

async function expire(sid: string): Promise<void> {
  const db = await database()
  await db.prepare('UPDATE threepid_validations SET expires_at = 1 WHERE sid = ?').bind(sid).run()
}

describe('a request for a token', () => {
  it('sends a mail with a link and the token, and says where tokens are taken', async () => {
    const answer = await requestToken()
    expect(answer).toMatchObject({
      status: 200,
      body: {
        sid: expect.stringMatching(/^[0-9a-zA-Z.=_-]{1,255}$/),
        submit_url: `${mailBaseUrl}${submitPath}`,
      },
    })
    const [mail, ...more] = await box.mailsTo(address)
    if (!mail) throw new Error('no mail')
    expect(more).toEqual([])
    expect(mail).toMatchObject({ to: [address], from: '"Hearth" <noreply@test.local>' })
    const { sid, token } = tokenIn(mail)
    expect(sid).toBe(answer.body.sid)
    expect(mail.text).toContain(`is ${token}`)
    expect(mail.html).toContain(linkIn(mail).replace('&', '&amp;'))
    // The secret is the client's alone.
    expect(mail.text + mail.html).not.toContain('a.secret')
  })

  it('goes to the canonical form of the address, whatever was typed', async () => {
    await requestToken({ email: `USER${n}@Example.ORG` })
    expect(box.received.map(({ to }) => to)).toEqual([[address]])
  })

  it('sends no second mail for the same attempt, and the same session for a higher one', async () => {
    const sid = await sessionOf()
    expect(await sessionOf()).toBe(sid)
    expect(await sessionOf({ send_attempt: 0 })).toBe(sid)
    expect(box.received.length).toBe(1)
    expect(await sessionOf({ send_attempt: 2 })).toBe(sid)
    expect(box.received.length).toBe(2)
    const [first, second] = box.received.map(tokenIn)
    // What was sent last counts.
    expect(await submit({ ...first })).toEqual(refusal(400, 'M_TOKEN_INCORRECT'))
    expect((await submit({ ...second })).status).toBe(200)
  })

  it('sends one mail when it is made twice at once', async () => {
    const [first, second] = await Promise.all([sessionOf(), sessionOf()])
    expect(first).toBe(second)
    expect(box.received.length).toBe(1)
  })

  it('has another session for another secret, address or purpose', async () => {
    const sids = [
      await sessionOf(),
      await sessionOf({ client_secret: 'another' }),
      await sessionOf({ email: `other${address}` }),
      textOf((await requestToken({}, 'register')).body, 'sid'),
    ]
    expect(new Set(sids).size).toBe(4)
  })

  it('can be made again when the mail could not be sent', async () => {
    box.fails = true
    expect(await requestToken()).toEqual(refusal(400, 'M_EMAIL_SEND_ERROR'))
    box.fails = false
    await sessionOf()
    expect(box.received.length).toBe(1)
  })

  it('writes two rows, and none when it is repeated', async () => {
    const counts = await server.measure(() => requestToken())
    expect(counts.d1RowsWritten).toBe(2)
    expect((await server.measure(() => requestToken())).d1RowsWritten).toBe(0)
  })

  it.each<[string, JsonObject, string, RegExp]>([
    ['no address', { email: 'user' }, 'M_INVALID_PARAM', /email/],
    [
      'a line of a header',
      { email: 'user@example.org\r\nBcc: other@example.org' },
      'M_INVALID_PARAM',
      /email/,
    ],
    ['two addresses', { email: 'user@example.org,other@example.org' }, 'M_INVALID_PARAM', /email/],
    ['a number', { email: 1 }, 'M_BAD_JSON', /email/],
    ['an empty secret', { client_secret: '' }, 'M_INVALID_PARAM', /client_secret/],
    ['a secret with spaces', { client_secret: 'a b' }, 'M_INVALID_PARAM', /client_secret/],
    ['a long secret', { client_secret: 'a'.repeat(256) }, 'M_INVALID_PARAM', /client_secret/],
    ['half an attempt', { send_attempt: 1.5 }, 'M_BAD_JSON', /send_attempt/],
    ['a script to go on to', { next_link: 'javascript:alert(1)' }, 'M_INVALID_PARAM', /next_link/],
    ['a document to go on to', { next_link: 'data:text/html,<script>' }, 'M_INVALID_PARAM', /next_link/],
    ['a path to go on to', { next_link: '/elsewhere' }, 'M_INVALID_PARAM', /next_link/],
    ['a page with a password', { next_link: 'https://a:b@example.org' }, 'M_INVALID_PARAM', /next_link/],
    [
      'a host that is a directive',
      { next_link: 'https://example.org;sandbox/' },
      'M_INVALID_PARAM',
      /next_link/,
    ],
  ])('is refused with %s', async (_, fields, errcode, message) => {
    const answer = await requestToken(fields)
    expect(answer).toMatchObject({
      status: 400,
      body: { errcode, error: expect.stringMatching(message) },
    })
    expect(box.received).toEqual([])
  })

  it('is refused for phone numbers', async () => {
    for (const purpose of ['register', 'account/password', 'account/3pid']) {
      const answer = await server.request('POST', `${api}/${purpose}/msisdn/requestToken`, { body: {} })
      expect(answer).toEqual(refusal(400, 'M_THREEPID_MEDIUM_NOT_SUPPORTED'))
    }
  })

  it('names no identity server that would matter', async () => {
    await sessionOf({ id_server: 'identity.example.org', id_access_token: 'x' })
  })
})

describe('MSC4183: a token that a client hands in', () => {
  it('validates the address, as often as it is handed in', async () => {
    const sid = await sessionOf()
    const [mail] = box.received.map(tokenIn)
    expect(await isValidated(sid)).toBe(false)
    const answers = await Promise.all([submit({ ...mail }), submit({ ...mail })])
    expect(answers.map(({ status, body: answer }) => [status, answer])).toEqual([
      [200, { success: true }],
      [200, { success: true }],
    ])
    expect(await isValidated(sid)).toBe(true)
  })

  it('is refused when it is wrong, another session’s, or comes with another secret', async () => {
    const sid = await sessionOf()
    await sessionOf({ client_secret: 'other' })
    const [own, other] = box.received.map(tokenIn)
    expect(await submit({ sid, token: 'wrong' })).toEqual(refusal(400, 'M_TOKEN_INCORRECT'))
    expect(await submit({ sid, token: other?.token ?? '' })).toEqual(refusal(400, 'M_TOKEN_INCORRECT'))
    expect(await submit({ sid, token: own?.token ?? '', client_secret: 'other' })).toEqual(
      refusal(400, 'M_INVALID_PARAM'),
    )
    expect(await submit({ sid })).toEqual(refusal(400, 'M_MISSING_PARAM'))
    expect(await isValidated(sid)).toBe(false)
  })

  it('is refused when its session has expired', async () => {
    const sid = await sessionOf()
    await expire(sid)
    const [mail] = box.received.map(tokenIn)
    expect(await submit({ ...mail })).toEqual(refusal(400, 'M_SESSION_EXPIRED'))
    expect(await submit({ sid: 'unknown', token: 'x' })).toEqual(refusal(400, 'M_SESSION_EXPIRED'))
    // The same request then starts afresh.
    expect(await sessionOf()).toBe(sid)
    expect(box.received.length).toBe(2)
  })
})

describe('the page behind the link', () => {
  it('validates nothing by being looked at, only by its button', async () => {
    const sid = await sessionOf()
    const mail = box.received[0]
    if (!mail) throw new Error('no mail')
    const page = await server.fetch(linkIn(mail))
    expect(page.status).toBe(200)
    expect(await page.text()).toContain(`<b>${address}</b>`)
    expect(await isValidated(sid)).toBe(false)
    const done = await confirm(server, mail)
    expect([done.status, await done.text()]).toEqual([
      200,
      expect.stringContaining('You can close this page'),
    ])
    expect(await isValidated(sid)).toBe(true)
    expect(await (await server.fetch(linkIn(mail))).text()).toContain('Confirmed')
  })

  it('lets nothing run but what it brings, and stays out of caches and referrers', async () => {
    await sessionOf()
    const mail = box.received[0]
    const { headers } = await server.fetch(mail ? linkIn(mail) : '')
    expect(headers.get('Content-Security-Policy')).toMatch(/default-src 'none'; script-src 'nonce-[\w-]+'; /)
    expect(headers.get('Content-Security-Policy')).toContain("form-action 'self';")
    expect(headers.get('Referrer-Policy')).toBe('no-referrer')
    expect(headers.get('Cache-Control')).toBe('no-store')
  })

  it('sends on to the page that the client has named, after the button', async () => {
    const next = 'https://app.example.org/"><script>alert(1)</script>?a=1#b'
    await sessionOf({ next_link: next })
    const mail = box.received[0]
    if (!mail) throw new Error('no mail')
    const page = await server.fetch(linkIn(mail))
    const text = await page.text()
    expect(text).toContain('app.example.org')
    expect(text).not.toContain('<script>alert')
    expect(page.headers.get('Content-Security-Policy')).toContain(
      "form-action 'self' https://app.example.org;",
    )
    const done = await confirm(server, mail)
    expect([done.status, done.headers.get('Location')]).toEqual([303, new URL(next).href])
    const again = await (await server.fetch(linkIn(mail))).text()
    expect(again).toContain('Continue at app.example.org')
    expect(again).not.toContain('<script>alert')
  })

  it('says so when the link is wrong or has expired', async () => {
    const sid = await sessionOf()
    const mail = box.received[0]
    if (!mail) throw new Error('no mail')
    for (const path of [submitPath, `${submitPath}?sid=${sid}&token=<script>`]) {
      const page = await server.fetch(path)
      expect([page.status, await page.text()]).toEqual([
        400,
        expect.stringContaining('This link is not valid'),
      ])
    }
    await expire(sid)
    expect((await confirm(server, mail)).status).toBe(400)
    expect((await server.fetch(linkIn(mail))).status).toBe(400)
  })
})

describe('whether an address has an account', () => {
  beforeEach(async () => {
    await (
      await database()
    )
      .prepare("INSERT INTO threepids VALUES ('email', ?, '@owner:test.local', 1, 1)")
      .bind(`taken${n}@example.org`)
      .run()
  })
  const taken = () => ({ email: `taken${n}@example.org` })

  it('is told to its owner alone, when somebody registers', async () => {
    const [free, used] = [await requestToken({}, 'register'), await requestToken(taken(), 'register')]
    expect(Object.keys(used.body)).toEqual(Object.keys(free.body))
    expect(used.status).toBe(free.status)
    const [mail] = await box.mailsTo(`taken${n}@example.org`)
    expect(mail?.text).toContain('It belongs to an account already')
    expect(mail?.text).not.toContain('http')
  })

  it('is told to its owner alone, when somebody has forgotten a password', async () => {
    const answers = [
      await requestToken({}, 'account/password'),
      await requestToken(taken(), 'account/password'),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    expect((await box.mailsTo(address))[0]?.text).toContain('No account has it')
    expect((await box.mailsTo(`taken${n}@example.org`))[0]?.text).toContain(mailBaseUrl)
  })

  it('is told to those who are signed in, and would add it', async () => {
    const { token } = await server.register(`adds${n}`)
    const path = `${api}/account/3pid/email/requestToken`
    const answer = await server.request('POST', path, { token, body: body(taken()) })
    expect(answer).toEqual(refusal(400, 'M_THREEPID_IN_USE'))
    expect(box.received).toEqual([])
    // Not signed in: the owner is told.
    expect((await requestToken(taken())).status).toBe(200)
    expect(box.received[0]?.text).toContain('It belongs to an account already')
    const wrong = await server.request('POST', path, { token: 'wrong', body: body() })
    expect(wrong).toEqual(refusal(401, 'M_UNKNOWN_TOKEN'))
  })
})

describe('by configuration', () => {
  it('whoever asks is told, and addresses of other domains are denied', async () => {
    const strict = await startServer({
      mail: box.handler,
      vars: { ...mailVars, TELL_THREEPIDS: 'on', EMAIL_DOMAINS: 'example.com, Example.net' },
    })
    const db = await strict.mf.getD1Database('DB')
    await db.prepare("INSERT INTO threepids VALUES ('email', 'a@example.com', '@a:test.local', 1, 1)").run()
    const ask = (email: string, purpose: Purpose) => requestToken({ email }, purpose, strict)
    expect(await ask('a@example.com', 'register')).toEqual(refusal(400, 'M_THREEPID_IN_USE'))
    expect(await ask('a@example.com', 'account/3pid')).toEqual(refusal(400, 'M_THREEPID_IN_USE'))
    expect(await ask('b@example.com', 'account/password')).toEqual(refusal(400, 'M_THREEPID_NOT_FOUND'))
    expect(await ask('b@example.org', 'register')).toEqual(refusal(403, 'M_THREEPID_DENIED'))
    expect(await ask('b@example.org', 'account/3pid')).toEqual(refusal(403, 'M_THREEPID_DENIED'))
    expect((await ask('b@example.net', 'register')).status).toBe(200)
    await strict.stop()
  })

  it('an address gets eight mails an hour, whoever asks for them', async () => {
    const limited = await startServer({ mail: box.handler, vars: { ...mailVars, RATE_LIMITS: 'on' } })
    for (let secret = 0; secret < 8; secret++) {
      expect((await requestToken({ client_secret: `s${secret}` }, 'account/3pid', limited)).status).toBe(200)
    }
    const refused = await requestToken({ client_secret: 's8' }, 'account/3pid', limited)
    expect(refused).toEqual(refusal(429, 'M_LIMIT_EXCEEDED'))
    const db = await limited.mf.getD1Database('DB')
    await db.prepare('UPDATE validation_mails SET since = since - 3600000').run()
    expect((await requestToken({ client_secret: 's8' }, 'account/3pid', limited)).status).toBe(200)
    expect(box.received.length).toBe(9)
    await limited.stop()
  })

  it('nothing of this is served where registration is closed', async () => {
    const closed = await startServer({ mail: box.handler, vars: { ...mailVars, REGISTRATION: 'closed' } })
    expect(await requestToken({}, 'register', closed)).toEqual(refusal(403, 'M_THREEPID_DENIED'))
    await closed.stop()
  })
})

it('no address is logged', async () => {
  await requestToken()
  await requestToken({ email: `${address} bad` })
  box.fails = true
  await requestToken({ send_attempt: 2 })
  expect(server.logs.join('\n')).not.toContain('@example.org')
})
