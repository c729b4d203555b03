// Stages of interactive authentication, completed in a browser by somebody whose client opened the page for them.
// Specification: client-server API, "Fallback" of user-interactive authentication.

import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { type FakeCaptcha, startFakeCaptcha } from '../support/fake-captcha.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'
import { focused, newReader, picture, type Reader, startBrowser } from './browser.ts'

const registerPath = '/_matrix/client/v3/register'
const password = 'sUp3rs3kr1t'
const client = 'http://client.test/'
const documents = {
  terms: { version: '1.2', en: { name: 'Terms of <b>Service</b>', url: 'http://documents.test/terms' } },
  privacy: {
    version: '3',
    en: { name: 'Privacy policy', url: 'http://documents.test/privacy' },
    de: { name: 'Datenschutzerklärung', url: 'http://documents.test/datenschutz' },
  },
}

// A client that opens the page of a stage, and keeps what it is told.
const clientPage = `<!doctype html><title>Client</title><button>Open</button><script>
  window.messages = []
  window.addEventListener('message', ({ data, origin }) => window.messages.push({ data, origin }))
  document.querySelector('button').onclick = () => window.open(decodeURIComponent(location.hash.slice(1)))
</script>`

let server: TestServer
let captcha: FakeCaptcha
let browser: Browser
let reader: Reader
beforeAll(async () => {
  ;[captcha, browser] = await Promise.all([startFakeCaptcha(), startBrowser()])
  server = await startServer({
    vars: {
      REGISTRATION: 'token',
      FIRST_USER_TOKEN: 'first-token',
      TERMS_POLICIES: JSON.stringify(documents),
      CAPTCHA: 'recaptcha',
      CAPTCHA_SITE_KEY: 'site-key',
      CAPTCHA_SECRET_KEY: 'secret key',
      CAPTCHA_VERIFY_URL: captcha.url,
    },
  })
  const db = await server.mf.getD1Database('DB')
  await db.prepare(`INSERT INTO registration_tokens (token) VALUES ('any')`).run()
})
afterAll(async () => {
  await browser.close()
  await server.stop()
  await captcha.stop()
})
beforeEach(async () => {
  reader = await newReader(browser, server)
  await asClientAndCaptcha(reader)
})
afterEach(async () => {
  // Whatever a test was about: nothing was refused by a policy, and nothing broke.
  expect(reader.faults).toEqual([])
  await reader.context.close()
})

/** What stands in for the client, the operator's documents and the service of the captcha, which is none of these. */
async function asClientAndCaptcha({ elsewhere }: Reader): Promise<void> {
  await elsewhere(client, 'text/html', clientPage)
  await elsewhere('http://documents.test/', 'text/html', '<title>A document</title>')
  // Like the real one: a script that brings another, and a frame where the work is done.
  await elsewhere(
    'https://www.google.com/recaptcha/api.js',
    'text/javascript',
    `document.head.append(Object.assign(document.createElement('script'), { src: 'https://www.gstatic.com/recaptcha/widget.js' }))`,
  )
  await elsewhere(
    'https://www.gstatic.com/recaptcha/widget.js',
    'text/javascript',
    `const place = document.querySelector('.g-recaptcha')
     const frame = Object.assign(document.createElement('iframe'), { title: 'captcha' })
     frame.src = 'https://www.google.com/recaptcha/frame?' + place.dataset.sitekey
     const field = Object.assign(document.createElement('input'), { type: 'hidden', name: 'g-recaptcha-response' })
     place.append(frame, field)
     window.addEventListener('message', ({ data, source }) => {
       if (source === frame.contentWindow) field.value = data
     })`,
  )
  await elsewhere(
    'https://www.google.com/recaptcha/frame',
    'text/html',
    `<button onclick="parent.postMessage('solved', '*'); this.textContent = 'Thank you'">I am human</button>`,
  )
}

async function newSession(
  username: string,
  method = 'POST',
  path = registerPath,
  token = '',
): Promise<string> {
  const options = token === '' ? { body: { username, password } } : { body: {}, token }
  return textOf((await server.request(method, path, options)).body, 'session')
}

const pageOf = (stage: string, session: string) =>
  `${server.url}/_matrix/client/v3/auth/${stage}/fallback/web?session=${session}`

/** Opens a stage's page as the client does. */
async function opened({ page }: Reader, stage: string, session: string): Promise<Page> {
  // Not the messages of the stage before.
  await page.goto('about:blank')
  await page.goto(`${client}#${encodeURIComponent(pageOf(stage, session))}`)
  const [popup] = await Promise.all([page.waitForEvent('popup'), page.getByRole('button').click()])
  await popup.waitForLoadState()
  return popup
}

/** What the client was told by the page it opened. */
async function told({ page }: Reader): Promise<unknown> {
  await expect.poll(() => page.evaluate('window.messages.length')).toBeGreaterThan(0)
  return await page.evaluate('window.messages')
}

const complete = (page: Page) => page.getByRole('heading', { name: 'Done' }).waitFor()

const register = (username: string, session: string) =>
  server.request('POST', registerPath, { body: { username, password, auth: { session } } as JsonObject })

async function byToken(page: Page, token: string): Promise<void> {
  await page.getByLabel('Registration token').fill(token)
  await page.getByRole('button').click()
}

async function byCaptcha(page: Page): Promise<void> {
  await page.frameLocator('iframe').getByRole('button', { name: 'I am human' }).click()
  await page.frameLocator('iframe').getByText('Thank you').waitFor()
  await page.getByRole('button', { name: 'Continue' }).click()
}

async function byTerms(page: Page): Promise<void> {
  for (const box of await page.getByRole('checkbox').all()) await box.check()
  await page.getByRole('button', { name: 'Accept and continue' }).click()
}

it('registers with all stages, each of which tells the client when it is done', async () => {
  const session = await newSession('alice')
  const done = [{ data: 'authDone', origin: server.url }]
  const token = await opened(reader, 'm.login.registration_token', session)
  await picture(token, 'token')
  await byToken(token, 'any')
  expect(await told(reader)).toEqual(done)
  await picture(token, 'done')
  const human = await opened(reader, 'm.login.recaptcha', session)
  await picture(human, 'captcha')
  await byCaptcha(human)
  expect(await told(reader)).toEqual(done)
  const terms = await opened(reader, 'm.login.terms', session)
  await picture(terms, 'terms')
  await byTerms(terms)
  expect(await told(reader)).toEqual(done)
  expect(await register('alice', session)).toMatchObject({
    status: 200,
    body: { user_id: '@alice:test.local' },
  })
})

it('tells an application that embeds the page by its onAuthDone', async () => {
  await reader.context.addInitScript('window.onAuthDone = () => { window.called = true }')
  const session = await newSession('embedded')
  await reader.page.goto(pageOf('m.login.registration_token', session))
  await byToken(reader.page, 'any')
  await expect.poll(() => reader.page.evaluate('window.called')).toBe(true)
  // Also whoever comes back to a stage that is done.
  await reader.page.goto(pageOf('m.login.registration_token', session))
  await expect.poll(() => reader.page.evaluate('window.called')).toBe(true)
})

it('shows what was wrong with a token, and takes another', async () => {
  const { page } = reader
  await page.goto(pageOf('m.login.registration_token', await newSession('mistaken')))
  await byToken(page, '<img src=x onerror=alert(1)>')
  expect(await page.getByRole('alert').textContent()).toBe('Invalid registration token')
  await picture(page, 'token-wrong')
  await byToken(page, 'any')
  await complete(page)
})

it('shows that the captcha is still to be solved', async () => {
  const { page } = reader
  const session = await newSession('hasty')
  await page.goto(pageOf('m.login.registration_token', session))
  await byToken(page, 'any')
  await complete(page)
  await page.goto(pageOf('m.login.recaptcha', session))
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('alert').waitFor()
  await byCaptcha(page)
  await complete(page)
})

/** A session whose next stage is the terms. */
async function sessionAtTerms(username: string): Promise<string> {
  const session = await newSession(username)
  const body = (fields: Record<string, string>) => ({ method: 'POST', body: new URLSearchParams(fields) })
  await fetch(pageOf('m.login.registration_token', session), body({ token: 'any' }))
  await fetch(pageOf('m.login.recaptcha', session), body({ 'g-recaptcha-response': 'solved' }))
  return session
}

it('wants every document accepted, and opens each beside the page', async () => {
  const { page, context } = reader
  await page.goto(pageOf('m.login.terms', await sessionAtTerms('reading')))
  expect(await page.getByRole('link').allTextContents()).toEqual(
    [' Terms of <b>Service</b>', ' Privacy policy'].map((name) => expect.stringContaining(name.trim())),
  )
  const [document] = await Promise.all([context.waitForEvent('page'), page.getByRole('link').first().click()])
  expect(document.url()).toBe('http://documents.test/terms')
  expect(await document.evaluate('window.opener')).toBeNull()
  await page.getByRole('checkbox').first().check()
  await page.getByRole('button').click()
  // The browser itself stops the form there.
  expect(await page.evaluate(`document.querySelectorAll('input')[1].validity.valueMissing`)).toBe(true)
  expect(await page.getByRole('heading').textContent()).toBe('Terms of this server')
  await page.getByRole('checkbox').nth(1).check()
  await page.getByRole('button').click()
  await complete(page)
})

it('shows the documents in the language of the reader', async () => {
  const german = await newReader(browser, server, { locale: 'de-CH' })
  await german.page.goto(pageOf('m.login.terms', await sessionAtTerms('german')))
  const link = german.page.getByRole('link', { name: 'Datenschutzerklärung' })
  expect(await link.getAttribute('lang')).toBe('de')
  await german.context.close()
})

it('confirms with the password, and says what for', async () => {
  const { page } = reader
  const session = await sessionAtTerms('bob')
  await page.goto(pageOf('m.login.terms', session))
  await byTerms(page)
  await complete(page)
  const token = textOf((await register('bob', session)).body, 'access_token')
  const { body: devices } = await server.request('GET', '/_matrix/client/v3/account/whoami', { token })
  const path = `/_matrix/client/v3/devices/${textOf(devices, 'device_id')}`
  const removal = await newSession('', 'DELETE', path, token)
  const popup = await opened(reader, 'm.login.password', removal)
  await picture(popup, 'password')
  expect(await popup.getByText('log devices out').isVisible()).toBe(true)
  expect(await popup.getByText('@bob:test.local').isVisible()).toBe(true)
  await popup.getByLabel('Password').fill('wrong')
  await popup.getByRole('button').click()
  await popup.getByRole('alert').filter({ hasText: 'Invalid password' }).waitFor()
  await picture(popup, 'password-wrong')
  await popup.getByLabel('Password').fill(password)
  await popup.getByRole('button').click()
  expect(await told(reader)).toEqual([{ data: 'authDone', origin: server.url }])
  const removed = await server.request('DELETE', path, { token, body: { auth: { session: removal } } })
  expect(removed.status).toBe(200)
})

it('is done by keyboard alone', async () => {
  const { page } = reader
  const session = await newSession('keyboard')
  await page.goto(pageOf('m.login.registration_token', session))
  await focused(page, 'token')
  await page.keyboard.type('any')
  await page.keyboard.press('Enter')
  await complete(page)
  await fetch(pageOf('m.login.recaptcha', session), {
    method: 'POST',
    body: new URLSearchParams({ 'g-recaptcha-response': 'solved' }),
  })
  await page.goto(pageOf('m.login.terms', session))
  // A box, its link, a box, its link, the button.
  for (const key of ['Tab', 'Space', 'Tab', 'Tab', 'Space', 'Tab', 'Tab', 'Enter'])
    await page.keyboard.press(key)
  await complete(page)
})

it('needs no JavaScript but for the captcha, which says so', async () => {
  const plain = await newReader(browser, server, { javaScriptEnabled: false })
  const session = await newSession('plain')
  await plain.page.goto(pageOf('m.login.registration_token', session))
  await byToken(plain.page, 'any')
  await complete(plain.page)
  await plain.page.goto(pageOf('m.login.recaptcha', session))
  expect(await plain.page.getByText('does not work without JavaScript').isVisible()).toBe(true)
  await plain.page.goto(pageOf('m.login.terms', await sessionAtTerms('plain-terms')))
  await byTerms(plain.page)
  await complete(plain.page)
  expect(plain.faults).toEqual([])
  await plain.context.close()
})

it('says so where a session is unknown, or a stage comes too early', async () => {
  const { page } = reader
  const unknown = encodeURIComponent('"><script>alert(1)</script>')
  expect((await page.goto(pageOf('m.login.terms', unknown)))?.status()).toBe(404)
  expect(await page.getByRole('alert').textContent()).toContain('expired')
  await picture(page, 'expired')
  expect((await page.goto(pageOf('m.login.terms', await newSession('early'))))?.status()).toBe(403)
})

it('runs no script without the nonce of its answer, and each answer has another', async () => {
  const { page } = reader
  const nonces = new Set<string>()
  for (const name of ['one', 'two']) {
    const response = await page.goto(pageOf('m.login.registration_token', await newSession(name)))
    const policy = response?.headers()['content-security-policy'] ?? ''
    const [nonce = ''] = /'nonce-[\w-]{43}'/.exec(policy) ?? []
    nonces.add(nonce)
    expect(policy).not.toContain('unsafe-inline')
  }
  expect(nonces.size).toBe(2)
  await page.evaluate(`document.body.insertAdjacentHTML('beforeend', '<img src="data:," onerror="window.evil = 1">');
    document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.evil = 2' }))`)
  // Both were refused.
  await expect.poll(() => reader.faults.length).toBe(2)
  expect(await page.evaluate('window.evil')).toBeUndefined()
  reader.faults.length = 0
})

it.each(['light', 'dark'] as const)('fits a small screen, %s', async (colorScheme) => {
  const viewport = { width: 320, height: 568 }
  const small = await newReader(browser, server, { viewport, colorScheme })
  await asClientAndCaptcha(small)
  const pages: [string, string][] = [
    ['m.login.registration_token', await newSession(`small-${colorScheme}`)],
    ['m.login.terms', await sessionAtTerms(`small-terms-${colorScheme}`)],
  ]
  for (const [stage, session] of pages) {
    await small.page.goto(pageOf(stage, session))
    expect(await small.page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')).toBe(true)
    expect(await small.page.evaluate('document.documentElement.lang')).toBe('en')
    const button = await small.page.getByRole('button').boundingBox()
    expect(button?.height).toBeGreaterThanOrEqual(44)
    await picture(small.page, `${stage}-small-${colorScheme}`)
  }
  const background = await small.page.evaluate(
    'getComputedStyle(document.querySelector("main")).backgroundColor',
  )
  expect(background).toBe(colorScheme === 'dark' ? 'rgb(26, 30, 36)' : 'rgb(255, 255, 255)')
  expect(small.faults).toEqual([])
  await small.context.close()
})
