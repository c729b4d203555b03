// Single sign-on as users go through it: from the application to the provider, and back.
// Specification: client-server API, "SSO client login/authentication".

import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import {
  clientId,
  clientSecret,
  type FakeProvider,
  startFakeProvider,
} from '../support/fake-openid-provider.ts'
import { freePort } from '../support/launcher.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'
import { focused, newReader, picture, type Reader, startBrowser, startWebClient } from './browser.ts'

const api = '/_matrix/client/v3'

let server: TestServer
let fake: FakeProvider
let webClient: Awaited<ReturnType<typeof startWebClient>>
let client: string
let browser: Browser
let reader: Reader
beforeAll(async () => {
  ;[fake, browser, webClient] = await Promise.all([
    startFakeProvider(),
    startBrowser(),
    startWebClient('<title>Client</title><h1>Welcome</h1>'),
  ])
  client = webClient.url
  const port = await freePort()
  const of = (id: string, name: string) => ({
    id,
    name,
    issuer: fake.issuer,
    client_id: clientId,
    client_secret: clientSecret,
    register: true,
  })
  server = await startServer({
    port,
    vars: {
      PUBLIC_BASE_URL: `http://127.0.0.1:${port}`,
      SSO_PROVIDERS: JSON.stringify([of('fake', 'Fake <b>Accounts</b>'), of('other', 'Other Accounts')]),
      TERMS_POLICIES: JSON.stringify({
        terms: { version: '1', en: { name: 'Terms', url: 'https://documents.test/' } },
      }),
    },
  })
  const db = await server.mf.getD1Database('DB')
  await db.prepare(`INSERT INTO users (user_id, shard, created_at) VALUES ('@taken:test.local', 0, 1)`).run()
})
afterAll(async () => {
  await browser.close()
  await server.stop()
  await fake.stop()
  webClient.stop()
})
beforeEach(async () => {
  reader = await readerOfAll()
})
afterEach(async () => {
  expect(reader.faults).toEqual([])
  await reader.context.close()
})

/** Somebody whose browser reaches provider and client as well. */
async function readerOfAll(options?: Parameters<typeof newReader>[2]): Promise<Reader> {
  const all = await newReader(browser, server, options)
  for (const url of [`${fake.issuer}/`, client]) await all.reach(url)
  return all
}

const redirect = () => `${api}/login/sso/redirect?redirectUrl=${encodeURIComponent(`${client}?a=1#b`)}`

/** What the client makes of the token in its address. */
async function login(url: string) {
  const token = new URL(url).searchParams.get('loginToken') ?? ''
  const { body } = await server.request('POST', `${api}/login`, { body: { type: 'm.login.token', token } })
  return body
}

it('makes an account, and brings its user back to the client', async () => {
  const { page } = reader
  fake.user = { sub: 'first', preferred_username: 'taken', name: 'Somebody' }
  await page.goto(redirect())
  await picture(page, 'sso-chooser')
  await page.getByRole('link', { name: 'Continue with Fake <b>Accounts</b>' }).click()
  await page.getByRole('link', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: 'Create your account' }).waitFor()
  await focused(page, 'username')
  await picture(page, 'sso-account')
  await page.getByLabel('User name').fill('taken')
  await page.getByRole('checkbox').check()
  await page.keyboard.press('Enter')
  await page.getByRole('alert').filter({ hasText: 'taken' }).waitFor()
  await picture(page, 'sso-account-taken')
  await page.getByLabel('User name').fill('free')
  await page.getByRole('checkbox').check()
  await page.getByRole('button', { name: 'Create account' }).click()
  await page.getByText(new URL(client).origin).waitFor()
  await picture(page, 'sso-confirm')
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  expect(page.url().replace(client, '')).toMatch(/^\?a=1&loginToken=[\w-]+#b$/)
  expect(await login(page.url())).toMatchObject({ user_id: '@free:test.local' })
  // Nothing of it stays.
  expect(await reader.context.cookies()).toEqual([])

  // The next time there is nothing to be asked but whether the client is known.
  await page.goto(redirect())
  await page.getByRole('link', { name: 'Fake' }).click()
  await page.getByRole('link', { name: 'Sign in' }).click()
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  expect(await login(page.url())).toMatchObject({ user_id: '@free:test.local' })
})

it('goes to two clients from two tabs', async () => {
  const [one, two] = [reader.page, await reader.context.newPage()]
  for (const page of [one, two]) {
    await page.goto(redirect())
    await page.getByRole('link', { name: 'Fake' }).click()
  }
  for (const page of [one, two]) {
    await page.getByRole('link', { name: 'Sign in' }).click()
    await page.getByRole('button', { name: 'Continue' }).click()
    await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  }
})

it('logs an application in that has but the login page', async () => {
  const { page } = reader
  await reader.context.addInitScript(
    'window.matrixLogin = { onLogin: (answer) => { window.answer = answer } }',
  )
  await page.goto('/_matrix/static/client/login/?device_id=GHTYAJCE')
  await picture(page, 'login-with-sso')
  await page.getByRole('link', { name: 'Fake' }).click()
  await page.getByRole('link', { name: 'Sign in' }).click()
  await page.getByText('You are logged in').waitFor()
  expect(await page.evaluate('window.answer')).toMatchObject({
    user_id: '@free:test.local',
    device_id: 'GHTYAJCE',
  })
  expect(page.url()).not.toContain('loginToken')
})

it('does not log an application in by the link of somebody else', async () => {
  const { page } = reader
  await reader.context.addInitScript(
    'window.matrixLogin = { onLogin: (answer) => { window.answer = answer } }',
  )
  await page.goto('/_matrix/static/client/login/?loginToken=of-mallory')
  await page.getByRole('alert').filter({ hasText: 'log in again' }).waitFor()
  expect(await page.evaluate('window.answer')).toBeUndefined()
  await page.getByRole('link', { name: 'Fake' }).waitFor()
})

it('confirms what an application asks for', async () => {
  const { page } = reader
  await page.goto(redirect())
  await page.getByRole('link', { name: 'Fake' }).click()
  await page.getByRole('link', { name: 'Sign in' }).click()
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  const session = await login(page.url())
  const token = textOf(session, 'access_token')
  const path = `${api}/devices/${textOf(session, 'device_id')}`
  const asked = await server.request('DELETE', path, { token, body: {} })
  const auth = { session: textOf(asked.body, 'session') }

  await page.goto(`${api}/auth/m.login.sso/fallback/web?session=${auth.session}`)
  await page.getByRole('link', { name: 'Sign in' }).click()
  await page.getByText('log devices out').waitFor()
  await picture(page, 'sso-stage')
  await page.getByRole('button', { name: 'Confirm' }).click()
  await page.getByRole('heading', { name: 'Done' }).waitFor()
  expect((await server.request('DELETE', path, { token, body: { auth } })).status).toBe(200)
})

it('works without JavaScript', async () => {
  const plain = await readerOfAll({ javaScriptEnabled: false })
  const { page } = plain
  await page.goto(redirect())
  await page.getByRole('link', { name: 'Fake' }).click()
  await page.getByRole('link', { name: 'Sign in' }).click()
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  expect(plain.faults).toEqual([])
  await plain.context.close()
})
