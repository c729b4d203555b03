// m.login.email.identity on its fallback page, and the page that the link in the mail leads to.

import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { linkIn, mailbox, mailVars } from '../support/mailbox.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'
import { newReader, picture, type Reader, startBrowser, startWebClient } from './browser.ts'

const api = '/_matrix/client/v3'
const box = mailbox()

let server: TestServer
let browser: Browser
let reader: Reader
beforeAll(async () => {
  ;[server, browser] = await Promise.all([
    startServer({
      mail: box.handler,
      vars: { ...mailVars, REGISTRATION_EMAIL: 'required', EMAIL_DOMAINS: 'example.org' },
    }),
    startBrowser(),
  ])
})
afterAll(async () => {
  await browser.close()
  await server.stop()
})
beforeEach(async () => {
  reader = await newReader(browser, server)
})
afterEach(async () => {
  expect(reader.faults).toEqual([])
  await reader.context.close()
})

it('takes an address, waits for the mail to be answered, and goes on', async () => {
  const { page, context } = reader
  const account = { username: 'alice', password: 'sUp3rs3kr1t' }
  const asked = await server.request('POST', `${api}/register`, { body: account })
  const session = textOf(asked.body, 'session')
  await page.goto(`${api}/auth/m.login.email.identity/fallback/web?session=${session}`)
  await picture(page, 'email')
  await page.getByLabel('E-mail address').fill('alice@example.org')
  await page.getByRole('button', { name: 'Continue' }).click()
  // Not a mistake: it is said as a matter of course.
  await page.getByRole('status').filter({ hasText: 'alice@example.org' }).waitFor()
  await picture(page, 'email-sent')
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('status').filter({ hasText: 'not been confirmed yet' }).waitFor()

  const [mail] = await box.mailsTo('alice@example.org')
  if (!mail) throw new Error('no mail')
  const inMail = await context.newPage()
  await inMail.goto(linkIn(mail))
  await picture(inMail, 'email-confirm')
  await inMail.getByRole('button', { name: 'Confirm' }).click()
  await inMail.getByRole('heading', { name: 'Confirmed' }).waitFor()

  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Done' }).waitFor()
  const done = await server.request('POST', `${api}/register`, { body: { ...account, auth: { session } } })
  expect(done).toMatchObject({ status: 200, body: { user_id: '@alice:test.local' } })
})

it('says what is wrong with an address', async () => {
  const { page } = reader
  const asked = await server.request('POST', `${api}/register`, { body: { password: 'sUp3rs3kr1t' } })
  await page.goto(`${api}/auth/m.login.email.identity/fallback/web?session=${textOf(asked.body, 'session')}`)
  await page.getByLabel('E-mail address').fill('bob@elsewhere.test')
  await page.getByRole('button').click()
  await page.getByRole('alert').waitFor()
  await picture(page, 'email-wrong')
  await page.getByLabel('E-mail address').fill('bob@example.org')
  await page.getByRole('button').click()
  await page.getByRole('status').filter({ hasText: 'bob@example.org' }).waitFor()
})

it('sends who has confirmed on to where the client wants them', async () => {
  const { page, reach } = reader
  const client = await startWebClient('<title>Client</title><h1>Welcome back</h1>')
  await reach(client.url)
  const request = { client_secret: 'secret', email: 'carol@example.org', send_attempt: 1 }
  const path = `${api}/register/email/requestToken`
  await server.request('POST', path, { body: { ...request, next_link: `${client.url}next` } })
  const [mail] = await box.mailsTo('carol@example.org')
  if (!mail) throw new Error('no mail')
  await page.goto(linkIn(mail))
  expect(await page.getByText(new URL(client.url).host).isVisible()).toBe(true)
  await page.getByRole('button', { name: 'Confirm' }).click()
  await page.getByRole('heading', { name: 'Welcome back' }).waitFor()
  expect(page.url()).toBe(`${client.url}next`)
  client.stop()
})

it('shows that a link is no longer valid', async () => {
  const { page } = reader
  const link = '/_matrix/client/unstable/hearth/email/submit_token?sid=made-up&token=made-up'
  expect((await page.goto(link))?.status()).toBeGreaterThanOrEqual(400)
  await page.getByRole('alert').filter({ hasText: 'not valid' }).waitFor()
  await picture(page, 'email-invalid')
})
