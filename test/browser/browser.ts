// Chromium with a fresh profile, as the tests of pages want it: nothing but the server under test and what a test makes
// up is reached, and whatever a page's Content-Security-Policy refuses is noted.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core'
import type { TestServer } from '../support/server.ts'

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // No name is looked up, whatever a redirect or a link leads to.
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
]

/** Starts the browser that scripts/browser.sh found. */
export async function startBrowser(): Promise<Browser> {
  return await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags })
}

export interface Reader {
  readonly context: BrowserContext
  readonly page: Page
  /** What went wrong on any of the pages: refusals of the policy, errors of scripts, requests to elsewhere. */
  readonly faults: string[]
  /** Answers what is below a URL elsewhere. */
  readonly elsewhere: (url: string, contentType: string, body: string) => Promise<void>
  /** Lets what is below a URL on 127.0.0.1 be reached. */
  readonly reach: (url: string) => Promise<void>
}

/** A web client on 127.0.0.1 with one page. It listens, since what a redirect leads to cannot be made up in the browser. */
export async function startWebClient(page: string) {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' }).end(page)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

/** Somebody with a browser of their own, in front of an empty page. */
export async function newReader(
  browser: Browser,
  server: Pick<TestServer, 'url'>,
  options: BrowserContextOptions = {},
): Promise<Reader> {
  const context = await browser.newContext({ baseURL: server.url, ...options })
  const faults: string[] = []
  context.on('console', (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) faults.push(message.text())
  })
  context.on('weberror', (error) => faults.push(String(error.error())))
  await context.route(
    (url) => url.origin !== server.url,
    async (route) => {
      faults.push(`a request to ${route.request().url()}`)
      await route.abort()
    },
  )
  const elsewhere = async (url: string, contentType: string, body: string) => {
    await context.route(`${url}**`, (route) => route.fulfill({ contentType, body }))
  }
  const reach = async (url: string) => {
    await context.route(`${url}**`, (route) => route.continue())
  }
  return { context, page: await context.newPage(), faults, elsewhere, reach }
}

/** Waits until the page has put the cursor into a field. */
export async function focused(page: Page, name: string): Promise<void> {
  await page.locator(`input[name=${name}]:focus`).waitFor()
}

/** Keeps a picture of a page, where somebody wants to look at it. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env.SCREENSHOTS
  if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}.png`) })
}
