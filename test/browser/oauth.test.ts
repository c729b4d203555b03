// Logging in to an application on the pages of the OAuth 2.0 API, in a real browser: its policy lets each form lead where it must.
// Specification: client-server API, "OAuth 2.0 API".

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import {
  nativeClient,
  newOauthClient,
  type OauthClient,
  oauthPath,
  scopeOf,
  startOauthServer,
  webClient,
} from '../support/oauth-client.ts'
import type { TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'
import { focused, newReader, picture, type Reader, startBrowser } from './browser.ts'

let server: TestServer
// Listens: what a redirect leads to cannot be made up in the browser.
let clientServer: Server
let redirectUri: string
let native: OauthClient
let browser: Browser
let reader: Reader
beforeAll(async () => {
  browser = await startBrowser()
  clientServer = createServer((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' }).end('<title>Client</title><h1>Welcome</h1>')
  })
  await once(clientServer.listen(0, '127.0.0.1'), 'listening')
  redirectUri = `http://127.0.0.1:${(clientServer.address() as AddressInfo).port}/callback`
  server = await startOauthServer({
    TERMS_POLICIES: JSON.stringify({
      terms: { version: '1', en: { name: 'Terms', url: 'https://documents.test/' } },
    }),
  })
  native = await newOauthClient(server, {
    ...nativeClient,
    client_name: 'Native',
    tos_uri: webClient.tos_uri,
  })
})
afterAll(async () => {
  await browser.close()
  await server.stop()
  clientServer.closeAllConnections()
  clientServer.close()
})
beforeEach(async () => {
  reader = await readerOfAll()
})
afterEach(async () => {
  expect(reader.faults).toEqual([])
  await reader.context.close()
})

/** Somebody whose browser reaches the client as well. */
async function readerOfAll(options?: Parameters<typeof newReader>[2]): Promise<Reader> {
  const all = await newReader(browser, server, options)
  for (const uri of [redirectUri, redirectUri6]) {
    const { origin } = new URL(uri)
    await all.context.route(
      (url) => url.origin === origin,
      (route) => route.continue(),
    )
  }
  return all
}

// Not every machine has one that answers: it counts that the browser goes there.
const redirectUri6 = 'http://[::1]:49152/callback'

const signIn = async (page: Page) => {
  await focused(page, 'user')
  await page.getByLabel('User name').fill('zoe')
  await page.getByLabel('Password').fill('a long password')
  await page.getByRole('button', { name: 'Sign in' }).click()
}

it('somebody without an account gets one on the way into the application', async () => {
  const { page } = reader
  const request = native.request('BROWSER1', { redirect_uri: redirectUri, prompt: 'create' })
  await page.goto(request.path)
  await page.getByRole('checkbox').check()
  await picture(page, 'oauth-terms')
  await page.getByRole('button', { name: 'Accept and continue' }).click()
  await focused(page, 'username')
  await page.getByLabel('User name').fill('zoe')
  await page.getByLabel('Password').fill('a long password')
  await picture(page, 'oauth-account')
  await page.getByRole('button', { name: 'Create account' }).click()
  await page.getByRole('heading', { name: 'Let this application in?' }).waitFor()
  await picture(page, 'oauth-consent')
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  const answer = new URLSearchParams(new URL(page.url()).hash.slice(1))
  const { status } = await native.exchange(answer.get('code') ?? '', request)
  expect(status).toBe(200)
})

it('somebody signs in, mistypes, agrees, and says no another time', async () => {
  const { page } = reader
  const request = native.request('BROWSER2', { redirect_uri: redirectUri, response_mode: 'query' })
  await page.goto(request.path)
  await picture(page, 'oauth-sign-in')
  await page.getByLabel('User name').fill('zoe')
  await page.getByLabel('Password').fill('wrong')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').filter({ hasText: 'Invalid user name or password' }).waitFor()
  await page.getByLabel('Password').fill('a long password')
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  expect(page.url()).toContain('?code=')

  await page.goto(request.path)
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  expect(page.url()).toContain('error=access_denied')

  await page.goto(request.path)
  await page.getByRole('button', { name: 'Use another account' }).click()
  await page.getByRole('link', { name: 'Back to the application' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
})

it('an application listens on an IPv6 address', async () => {
  const { page } = reader
  await page.goto(native.request('BROWSER6', { redirect_uri: redirectUri6 }).path)
  await signIn(page)
  const gone = page.waitForRequest((one) => one.url().startsWith(redirectUri6))
  await page.getByRole('button', { name: 'Continue' }).click()
  await gone
})

it('an application has a scheme of its own', async () => {
  const { page } = reader
  const request = native.request('SCHEME', { redirect_uri: 'test.client.app:/callback' })
  await page.goto(request.path)
  await signIn(page)
  // Nothing in this browser takes the scheme: it is the policy that must not stand in the way.
  const answered = page.waitForEvent('requestfailed', (one) => one.url().includes('/consent'))
  await page.getByRole('button', { name: 'Continue' }).click()
  await answered
  await expect
    .poll(() => server.logs.filter((line) => line.includes('oauth_allowed')).length)
    .toBeGreaterThan(0)
})

it('a code of an application without a browser is typed in, also without JavaScript', async () => {
  const plain = await readerOfAll({ javaScriptEnabled: false })
  const { page } = plain
  const { body } = await native.post('device-authorization', { scope: scopeOf('TV') })
  await page.goto(`${oauthPath}/link`)
  await page.getByLabel('User name').fill('zoe')
  await page.getByLabel('Password').fill('a long password')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('textbox').fill(textOf(body, 'user_code'))
  await picture(page, 'oauth-link')
  await page.getByRole('button', { name: 'Continue' }).click()
  await picture(page, 'oauth-link-consent')
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Done' }).waitFor()
  expect(plain.faults).toEqual([])
  await plain.context.close()
})

it('sessions are looked at, ended, and an identity reset', async () => {
  const { page } = reader
  await page.goto(`${oauthPath}/account`)
  await signIn(page)
  await picture(page, 'oauth-sessions')
  await page.getByRole('link', { name: 'Native' }).first().click()
  await picture(page, 'oauth-session')
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: 'Your sessions' }).waitFor()
  await page.goto(`${oauthPath}/account?action=org.matrix.cross_signing_reset`)
  await picture(page, 'oauth-reset')
  await page.getByLabel('Password').fill('a long password')
  await page.getByRole('button', { name: 'Reset' }).click()
  await page.getByRole('heading', { name: 'Done' }).waitFor()
})

it('an account is looked after with the keyboard alone, on a small screen, without JavaScript', async () => {
  const small = await readerOfAll({ javaScriptEnabled: false, viewport: { width: 320, height: 568 } })
  const { page } = small
  /** Goes on with the tabulator until something is reached, as who has no mouse does. */
  const tabTo = async (name: string) => {
    for (let steps = 0; steps < 40; steps += 1) {
      await page.keyboard.press('Tab')
      const found = await page
        .locator(':focus')
        .evaluateAll((elements) => elements.map((one) => (one.closest('label') ?? one).textContent ?? ''))
      if (found.some((text) => text.includes(name))) return
    }
    throw new Error(`the keyboard does not reach ${name}`)
  }
  const fits = async () => {
    const width = await page.locator('html').evaluate((html) => html.scrollWidth)
    expect(width).toBeLessThanOrEqual(320)
  }
  await page.goto(`${oauthPath}/account`)
  await fits()
  await page.keyboard.type('zoe')
  await tabTo('Password')
  await page.keyboard.type('a long password')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Your sessions' }).waitFor()
  await fits()
  await picture(page, 'oauth-account-menu')
  await tabTo('Your profile')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Your profile' }).waitFor()
  await fits()
  await tabTo('Name')
  await page.keyboard.type('Zoë')
  await picture(page, 'oauth-profile')
  await page.keyboard.press('Enter')
  await page.locator('input[value="Zoë"]').waitFor()
  await tabTo('Your account')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Your sessions' }).waitFor()
  await tabTo('Change your password')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Change your password' }).waitFor()
  await fits()
  for (const [field, text] of [
    ['Password', 'a long password'],
    ['New password', 'another password'],
    ['New password once more', 'another password'],
  ] as const) {
    await tabTo(field)
    await page.keyboard.type(text)
  }
  await picture(page, 'oauth-password')
  await page.keyboard.press('Enter')
  await page.getByRole('status').waitFor()
  await page.goto(`${oauthPath}/account?action=org.matrix.account_deactivate`)
  await fits()
  await picture(page, 'oauth-deactivate')
  expect(small.faults).toEqual([])
  await small.context.close()
})

it('a link to an application that asks for nonsense leads no further by itself', async () => {
  const { page } = reader
  await page.goto(native.request('X', { redirect_uri: redirectUri, scope: 'nonsense' }).path)
  await page.getByRole('alert').waitFor()
  await picture(page, 'oauth-fault')
  await page.getByRole('link', { name: 'Back to the application' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  expect(page.url()).toContain('error=invalid_scope')
})
