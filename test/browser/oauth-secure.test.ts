// The pages of the OAuth 2.0 API at a server that is reached by https: its cookie has a prefix then, to which browsers hold it.
// RFC 6265bis, "The __Host- Prefix".

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  clientId,
  clientSecret,
  type FakeProvider,
  startFakeProvider,
} from '../support/fake-openid-provider.ts'
import {
  nativeClient,
  newOauthClient,
  type OauthClient,
  oauthPath,
  startOauthServer,
} from '../support/oauth-client.ts'
import type { TestServer } from '../support/server.ts'
import { newReader, startBrowser, startWebClient } from './browser.ts'
import { startTlsProxy } from './tls-proxy.ts'

let server: TestServer
let fake: FakeProvider
let browser: Browser
let webClient: Awaited<ReturnType<typeof startWebClient>>
let proxy: Awaited<ReturnType<typeof startTlsProxy>>
let client: OauthClient
beforeAll(async () => {
  ;[fake, browser, webClient, proxy] = await Promise.all([
    startFakeProvider(),
    startBrowser(),
    startWebClient('<title>Client</title><h1>Welcome</h1>'),
    startTlsProxy(),
  ])
  const provider = {
    id: 'fake',
    name: 'Fake',
    issuer: fake.issuer,
    client_id: clientId,
    client_secret: clientSecret,
  }
  server = await startOauthServer({
    PUBLIC_BASE_URL: proxy.url,
    SSO_PROVIDERS: JSON.stringify([{ ...provider, register: true }]),
  })
  proxy.passTo(server)
  await server.register('alice')
  client = await newOauthClient(server, { ...nativeClient, redirect_uris: ['http://127.0.0.1/'] })
})
afterAll(async () => {
  await browser.close()
  webClient.stop()
  proxy.stop()
  await server.stop()
  await fake.stop()
})

const newBrowser = async () => {
  const reader = await newReader(browser, { url: proxy.url }, { ignoreHTTPSErrors: true })
  for (const url of [`${fake.issuer}/`, webClient.url]) await reader.reach(url)
  return reader
}

it('by password, the way leads through with a cookie that no other site can set', async () => {
  const { context, page, faults } = await newBrowser()
  const request = client.request('SECURE', { redirect_uri: webClient.url })
  await page.goto(request.path)
  const [before, ...none] = await context.cookies()
  expect(none).toEqual([])
  expect(before).toMatchObject({
    name: '__Host-hearth_oauth',
    path: '/',
    secure: true,
    httpOnly: true,
    sameSite: 'Lax',
  })
  await page.getByLabel('User name').fill('alice')
  await page.getByLabel('Password').fill('password of alice')
  await page.keyboard.press('Enter')
  await page.getByText('@alice:test.local').waitFor()
  const [after] = await context.cookies()
  expect(after?.value).not.toBe(before?.value)
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  const answer = new URLSearchParams(new URL(page.url()).hash.slice(1))
  expect(answer.get('iss')).toBe(`${proxy.url}/`)
  expect((await client.exchange(answer.get('code') ?? '', request)).status).toBe(200)
  expect(faults).toEqual([])
  await context.close()
})

it('a cookie that a neighbour could have set is not looked at', async () => {
  const { context, page } = await newBrowser()
  const signedIn = await newBrowser()
  await signedIn.page.goto(`${oauthPath}/account`)
  await signedIn.page.getByLabel('User name').fill('alice')
  await signedIn.page.getByLabel('Password').fill('password of alice')
  await signedIn.page.keyboard.press('Enter')
  await signedIn.page.getByRole('heading', { name: 'Your sessions' }).waitFor()
  const [cookie] = await signedIn.context.cookies()
  for (const name of ['hearth_oauth', '__Secure-hearth_oauth']) {
    await context.addCookies([
      { name, value: cookie?.value ?? '', domain: '127.0.0.1', path: oauthPath, secure: true },
    ])
  }
  await page.goto(`${oauthPath}/account`)
  await page.getByRole('button', { name: 'Sign in' }).waitFor()
  await context.close()
  await signedIn.context.close()
})

it('by single sign-on, the way leads through as well, and leaves nothing of that behind', async () => {
  const { context, page, faults } = await newBrowser()
  fake.user = { sub: 'bob', preferred_username: 'bob', name: 'Bob' }
  await page.goto(client.request('SSO', { redirect_uri: webClient.url }).path)
  await page.getByRole('link', { name: 'Continue with Fake' }).click()
  await page.getByRole('link', { name: 'Sign in' }).click()
  await page.getByText('@bob:test.local').waitFor()
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  expect((await context.cookies()).map(({ name }) => name)).toEqual(['__Host-hearth_oauth'])
  expect(faults).toEqual([])
  await context.close()
})

it('an application on the device sends its user on to a site', async () => {
  const site = await startTlsProxy()
  site.passTo({ url: webClient.url.replace(/\/$/, '') })
  const application = createServer((_, response) => {
    response.writeHead(302, { Location: `${site.url}/welcome` }).end()
  })
  await once(application.listen(0, '127.0.0.1'), 'listening')
  const redirectUri = `http://127.0.0.1:${(application.address() as AddressInfo).port}/`
  const { context, page, faults, reach } = await newBrowser()
  for (const url of [redirectUri, site.url]) await reach(url)
  await page.goto(client.request('SENTON', { redirect_uri: redirectUri }).path)
  await page.getByLabel('User name').fill('alice')
  await page.getByLabel('Password').fill('password of alice')
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor({ timeout: 10_000 })
  expect(page.url()).toContain(`${site.url}/welcome`)
  expect(faults).toEqual([])
  await context.close()
  application.close()
  site.stop()
})
