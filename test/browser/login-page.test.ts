// The login page for clients that cannot log in themselves. Specification: client-server API, "Login Fallback".

import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Account, startServer, type TestServer } from '../support/server.ts'
import { focused, newReader, picture, type Reader, startBrowser } from './browser.ts'

const path = '/_matrix/static/client/login/'

let server: TestServer
let browser: Browser
let alice: Account
beforeAll(async () => {
  ;[server, browser] = await Promise.all([startServer(), startBrowser()])
  alice = await server.register('alice')
})
afterAll(async () => {
  await browser.close()
  await server.stop()
})

/** A web view of an application that waits for the login. */
async function application(options?: Parameters<typeof newReader>[2]): Promise<Reader> {
  const reader = await newReader(browser, server, options)
  await reader.context.addInitScript(
    'window.matrixLogin = { onLogin: (answer) => { window.answer = answer } }',
  )
  return reader
}

async function answer(page: Page): Promise<Record<string, unknown>> {
  await expect.poll(() => page.evaluate('typeof window.answer')).toBe('object')
  return await page.evaluate('window.answer')
}

it('logs in and hands the answer to the application', async () => {
  const { page, faults, context } = await application()
  await page.goto(`${path}?device_id=GHTYAJCE&initial_device_display_name=Web%20view&refresh_token=true`)
  await picture(page, 'login')
  await page.getByLabel('User name').fill(alice.userId)
  await page.getByLabel('Password').fill('password of alice')
  await page.getByRole('button', { name: 'Log in' }).click()
  const { access_token: token, ...rest } = await answer(page)
  expect(rest).toMatchObject({
    user_id: alice.userId,
    device_id: 'GHTYAJCE',
    refresh_token: expect.any(String),
  })
  const device = await server.request('GET', '/_matrix/client/v3/devices/GHTYAJCE', { token: String(token) })
  expect(device.body).toMatchObject({ display_name: 'Web view' })
  await page.getByText('You are logged in').waitFor()
  await picture(page, 'login-done')
  expect(faults).toEqual([])
  await context.close()
})

it('shows what was wrong, and can be tried again', async () => {
  const { page, faults, context } = await application()
  await page.goto(path)
  await page.getByLabel('User name').fill('alice')
  await page.getByLabel('Password').fill('wrong')
  await page.getByRole('button').click()
  await page.getByRole('alert').filter({ hasText: 'Invalid user name or password' }).waitFor()
  await picture(page, 'login-wrong')
  await page.getByLabel('Password').fill('password of alice')
  await page.getByRole('button').click()
  expect(await answer(page)).toMatchObject({ user_id: alice.userId })
  expect(faults).toEqual([])
  await context.close()
})

it('is filled in by keyboard alone', async () => {
  const { page, context } = await application()
  await page.goto(path)
  await focused(page, 'user')
  await page.keyboard.type('alice')
  await page.keyboard.press('Tab')
  await page.keyboard.type('password of alice')
  await page.keyboard.press('Enter')
  expect(await answer(page)).toMatchObject({ user_id: alice.userId })
  await context.close()
})

it('does not log in where no application waits for it', async () => {
  const { page, context } = await newReader(browser, server)
  const requests: string[] = []
  page.on('request', (request) => requests.push(request.method()))
  await page.goto(path)
  await page.getByLabel('User name').fill('alice')
  await page.getByLabel('Password').fill('password of alice')
  await page.getByRole('button').click()
  await page.getByRole('alert').filter({ hasText: 'opened by a Matrix application' }).waitFor()
  expect(requests).toEqual(['GET'])
  await context.close()
})

it('asks for no password where there is no JavaScript to send it', async () => {
  const { page, faults, context } = await newReader(browser, server, { javaScriptEnabled: false })
  await page.goto(path)
  expect(await page.getByText('does not work without JavaScript').isVisible()).toBe(true)
  expect(await page.locator('input').first().isVisible()).toBe(false)
  await picture(page, 'login-without-javascript')
  expect(faults).toEqual([])
  await context.close()
})

it('runs no script that comes in by its address', async () => {
  const { page, context } = await application()
  const script = encodeURIComponent('"><script>window.answer = "evil"</script><img src=x onerror="answer=1">')
  await page.goto(`${path}?device_id=${script}#${script}`)
  await page.getByLabel('Password').waitFor()
  expect(await page.evaluate('window.answer')).toBeUndefined()
  expect(await page.content()).not.toContain('evil')
  await context.close()
})
