// Stages of interactive authentication that only other settings bring about: m.login.dummy, Turnstile.

import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type FakeCaptcha, startFakeCaptcha } from '../support/fake-captcha.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'
import { newReader, picture, startBrowser } from './browser.ts'

const path = '/_matrix/client/v3/register'
const password = 'sUp3rs3kr1t'
const widget = 'https://challenges.cloudflare.com/turnstile/v0/'

let browser: Browser
let captcha: FakeCaptcha
beforeAll(async () => {
  ;[captcha, browser] = await Promise.all([startFakeCaptcha(), startBrowser()])
})
afterAll(async () => {
  await browser.close()
  await captcha.stop()
})

async function newSession(server: TestServer): Promise<string> {
  return textOf((await server.request('POST', path, { body: { password } })).body, 'session')
}

const register = (server: TestServer, session: string) =>
  server.request('POST', path, { body: { password, auth: { session } } })

it('m.login.dummy takes a click', async () => {
  const server = await startServer()
  const { page, faults, context } = await newReader(browser, server)
  const session = await newSession(server)
  await page.goto(`/_matrix/client/v3/auth/m.login.dummy/fallback/web?session=${session}`)
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Done' }).waitFor()
  expect(await register(server, session)).toMatchObject({ status: 200 })
  expect(faults).toEqual([])
  await context.close()
  await server.stop()
})

it('Turnstile has its widget on the page', async () => {
  const server = await startServer({
    vars: {
      CAPTCHA: 'turnstile',
      CAPTCHA_SITE_KEY: 'site-key',
      CAPTCHA_SECRET_KEY: 'secret key',
      CAPTCHA_VERIFY_URL: captcha.url,
      CAPTCHA_HOSTNAMES: 'test.local',
    },
  })
  const { page, faults, elsewhere, context } = await newReader(browser, server)
  await elsewhere(
    `${widget}api.js`,
    'text/javascript',
    `const place = document.querySelector('.cf-turnstile')
     place.innerHTML = '<div style="width: 300px; height: 65px"><iframe title="captcha" style="width: 100%; height: 100%"></iframe><input type="hidden" name="cf-turnstile-response"></div>'
     place.querySelector('iframe').src = '${widget}frame?' + place.dataset.sitekey
     window.addEventListener('message', ({ data }) => { place.querySelector('input').value = data })`,
  )
  await elsewhere(
    `${widget}frame`,
    'text/html',
    `<label><input type="checkbox" onchange="parent.postMessage('solved', '*')"> I am human</label>`,
  )
  const session = await newSession(server)
  await page.goto(`/_matrix/client/v3/auth/hearth.login.turnstile/fallback/web?session=${session}`)
  await page.frameLocator('iframe').getByLabel('I am human').check()
  await picture(page, 'turnstile')
  await page.getByRole('button', { name: 'Continue' }).click()
  await page.getByRole('heading', { name: 'Done' }).waitFor()
  expect(await register(server, session)).toMatchObject({ status: 200 })
  expect(faults).toEqual([])
  await context.close()
  await server.stop()
})
