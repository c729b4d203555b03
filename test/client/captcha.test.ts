// A captcha at registration, verified at a service of the test's own.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { type FakeCaptcha, startFakeCaptcha } from '../support/fake-captcha.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

const path = '/_matrix/client/v3/register'
const password = 'sUp3rs3kr1t'

let captcha: FakeCaptcha
let standardReply: FakeCaptcha['reply']
beforeAll(async () => {
  captcha = await startFakeCaptcha()
  standardReply = captcha.reply
})
afterEach(() => {
  captcha.reply = standardReply
})
afterAll(() => captcha.stop())

function startWith(vars: Record<string, string>): Promise<TestServer> {
  return startServer({
    vars: {
      CAPTCHA_SITE_KEY: 'site key',
      CAPTCHA_SECRET_KEY: 'secret key',
      CAPTCHA_VERIFY_URL: captcha.url,
      ...vars,
    },
  })
}

describe('reCAPTCHA', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startWith({ CAPTCHA: 'recaptcha' })
  })
  afterAll(() => server.stop())

  const register = (body: JsonObject) => server.request('POST', path, { body })
  async function attempt(username: string, auth: JsonObject) {
    const { body } = await register({ username, password })
    const session = textOf(body, 'session')
    return await register({ username, password, auth: { type: 'm.login.recaptcha', session, ...auth } })
  }

  it('is asked for, with the public key', async () => {
    expect(await register({})).toMatchObject({
      status: 401,
      body: {
        flows: [{ stages: ['m.login.recaptcha'] }],
        params: { 'm.login.recaptcha': { public_key: 'site key' } },
      },
    })
  })

  it('lets those in who solved it, and tells the service nothing but that', async () => {
    expect(await attempt('solver', { response: 'solved' })).toMatchObject({ status: 200 })
    expect(captcha.asked.at(-1)).toEqual({ secret: 'secret key', response: 'solved' })
  })

  it('can be tried again with the same session', async () => {
    const { body } = await register({ username: 'again', password })
    const auth = { type: 'm.login.recaptcha', session: textOf(body, 'session') }
    const wrong = await register({ username: 'again', password, auth: { ...auth, response: 'wrong' } })
    expect(wrong).toMatchObject({
      status: 401,
      body: { errcode: 'M_CAPTCHA_INVALID', session: auth.session },
    })
    const right = await register({ username: 'again', password, auth: { ...auth, response: 'solved' } })
    expect(right).toMatchObject({ status: 200 })
  })

  it.each([{}, { response: '' }, { response: 1 }])('needs a response, which %j is not', async (auth) => {
    expect(await attempt('nobody', auth)).toMatchObject({
      status: 401,
      body: { errcode: 'M_CAPTCHA_NEEDED' },
    })
  })

  it.each([
    ['nothing', undefined],
    ['an error', { status: 500, body: { success: true } }],
    ['a redirect', { status: 302, body: { success: true } }],
    ['something else than an object', { body: [true] }],
    ['a success that is none', { body: { success: 'true' } }],
    ['that our secret is wrong', { body: { success: false, 'error-codes': ['invalid-input-secret'] } }],
    ['too much', { body: { success: true, more: 'x'.repeat(20_000) } }],
    ['a refusal with status 400', { status: 400, body: { success: false, 'error-codes': ['bad-request'] } }],
  ])('refuses when the service answers %s', async (_, reply) => {
    captcha.reply = () => reply
    expect(await attempt('nobody', { response: 'solved' })).toMatchObject({
      status: 401,
      body: { errcode: 'M_CAPTCHA_INVALID' },
    })
  })

  it('does not ask the service about a response of any length', async () => {
    const before = captcha.asked.length
    expect(await attempt('nobody', { response: 'x'.repeat(100_000) })).toMatchObject({ status: 401 })
    expect(captcha.asked).toHaveLength(before)
  })

  it('writes what is wrong with it to the log, without secrets', async () => {
    captcha.reply = () => ({ body: { success: false, 'error-codes': ['invalid-input-secret'] } })
    await attempt('nobody', { response: 'the response' })
    const lines = server.logs.filter((line) => line.includes('captcha_not_verified'))
    expect(lines.at(-1)).toContain('invalid-input-secret')
    expect(server.logs.join()).not.toMatch(/secret key|the response/)
  })

  it('has a fallback page that takes scripts from the service alone', async () => {
    const { body } = await register({})
    const page = `/_matrix/client/v3/auth/m.login.recaptcha/fallback/web?session=${textOf(body, 'session')}`
    const form = await server.fetch(page)
    expect(form.headers.get('Content-Security-Policy')).toMatch(
      /script-src 'nonce-[\w-]+' https:\/\/www\.google\.com\/recaptcha\/ https:\/\/www\.gstatic\.com\/recaptcha\/;/,
    )
    expect(await form.text()).toContain('data-sitekey="site key"')
    const post = (response: string) =>
      server.fetch(page, { method: 'POST', body: new URLSearchParams({ 'g-recaptcha-response': response }) })
    expect(await (await post('wrong')).text()).toContain('The captcha was not solved')
    expect(await (await post('solved')).text()).toContain('onAuthDone')
  })

  it('is not asked of guests', async () => {
    expect(await server.request('POST', `${path}?kind=guest`, { body: {} })).toMatchObject({ status: 200 })
  })
})

describe('Turnstile', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startWith({ CAPTCHA: 'turnstile', CAPTCHA_HOSTNAMES: 'test.local, other.test' })
  })
  afterAll(() => server.stop())

  async function attempt(auth: JsonObject) {
    const { body } = await server.request('POST', path, { body: { password } })
    const session = textOf(body, 'session')
    return await server.request('POST', path, {
      body: { password, auth: { type: 'hearth.login.turnstile', session, ...auth } },
    })
  }

  // What they would make of m.login.recaptcha is a widget of Google's with a key that Google does not know.
  it('is a stage that clients do not know, so that they open its page', async () => {
    expect(await server.request('POST', path, { body: {} })).toMatchObject({
      status: 401,
      body: {
        flows: [{ stages: ['hearth.login.turnstile'] }],
        params: { 'hearth.login.turnstile': { public_key: 'site key' } },
      },
    })
  })

  it('is solved on the page, after which the session alone registers', async () => {
    const { body } = await server.request('POST', path, { body: { password } })
    const session = textOf(body, 'session')
    const page = `/_matrix/client/v3/auth/hearth.login.turnstile/fallback/web?session=${session}`
    const form = await server.fetch(page)
    expect(form.headers.get('Content-Security-Policy')).toContain(
      ' https://challenges.cloudflare.com/turnstile/; ',
    )
    const fields = new URLSearchParams({ 'cf-turnstile-response': 'solved' })
    expect(await (await server.fetch(page, { method: 'POST', body: fields })).text()).toContain('onAuthDone')
    const done = await server.request('POST', path, { body: { password, auth: { session } } })
    expect(done).toMatchObject({ status: 200 })
  })

  it.each([
    ['is the one of this server', 'test.local', 200],
    ['is another', 'evil.test', 401],
    ['is unknown', undefined, 401],
  ])('counts what was solved where the host name %s as %j', async (_, hostname, status) => {
    captcha.reply = () => ({ body: { success: true, ...(hostname === undefined ? {} : { hostname }) } })
    expect(await attempt({ response: 'solved' })).toMatchObject({ status })
  })
})
