// Single sign-on at a server that is reached by https: the cookie of a sign-in has a prefix then, to which browsers hold it.

import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import {
  clientId,
  clientSecret,
  type FakeProvider,
  startFakeProvider,
} from '../support/fake-openid-provider.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { newReader, startBrowser, startWebClient } from './browser.ts'
import { startTlsProxy } from './tls-proxy.ts'

let server: TestServer
let fake: FakeProvider
let browser: Browser
let webClient: Awaited<ReturnType<typeof startWebClient>>
let proxy: Awaited<ReturnType<typeof startTlsProxy>>
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
    register: true,
  }
  server = await startServer({
    vars: { PUBLIC_BASE_URL: proxy.url, SSO_PROVIDERS: JSON.stringify([provider]) },
  })
  proxy.passTo(server)
})
afterAll(async () => {
  await browser.close()
  webClient.stop()
  proxy.stop()
  await server.stop()
  await fake.stop()
})

it('goes all the way with a cookie that no other site can set, and leaves none', async () => {
  const { context, page, faults, reach } = await newReader(
    browser,
    { url: proxy.url },
    { ignoreHTTPSErrors: true },
  )
  for (const url of [`${fake.issuer}/`, webClient.url]) await reach(url)
  fake.user = { sub: 'alice', preferred_username: 'alice', name: 'Alice' }
  await page.goto(
    `/_matrix/client/v3/login/sso/redirect/fake?redirectUrl=${encodeURIComponent(webClient.url)}`,
  )
  const cookies = async () => (await context.cookies()).map(({ name, value }) => ({ name, value }))
  const [before] = await cookies()
  expect(before?.name).toMatch(/^__Host-hearth_sso_/)
  await page.getByRole('link', { name: 'Sign in' }).click()
  await page.getByText('@alice:test.local').waitFor()
  // It is another one from the provider's answer on.
  const [after, ...others] = await cookies()
  expect(others).toEqual([])
  expect(after?.name).toBe(before?.name)
  expect(after?.value).not.toBe(before?.value)
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Welcome' }).waitFor()
  expect(await cookies()).toEqual([])
  expect(faults).toEqual([])
  await context.close()
})
