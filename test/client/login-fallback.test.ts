// The login page, run against a page of stubs: its script must log in and hand the answer over. A real browser has it in
// test/browser.

import { createContext, runInContext } from 'node:vm'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

/** Submits the form of the page with the given fields. Answers what it hands to the application and shows. */
async function submit(script: string, fields: Record<string, string>, search: string) {
  let onSubmit: ((event: unknown) => Promise<void>) | undefined
  const outcome: { login?: unknown; error?: string } = {}
  const form = {
    addEventListener: (_: string, listener: typeof onSubmit) => (onSubmit = listener),
    querySelector: () => ({ focus: () => undefined }),
  }
  const error = {
    set textContent(text: string) {
      outcome.error = text
    },
  }
  // Without identity providers there is nothing else to log in with.
  const ways = { querySelector: () => null }
  const page = {
    document: { getElementById: (id: string) => ({ login: form, error, ways })[id] ?? {} },
    window: { matrixLogin: { onLogin: (answer: unknown) => (outcome.login = answer) } },
    location: { search },
    FormData: class {
      get = (name: string) => fields[name]
    },
    URLSearchParams,
    fetch: (path: string, init: RequestInit) => server.fetch(path, init),
  }
  runInContext(script, createContext(page))
  await onSubmit?.({ preventDefault: () => undefined })
  return outcome
}

it('logs in and gives the answer to the application', async () => {
  const { userId } = await server.register('alice')
  const response = await server.fetch('/_matrix/static/client/login/')
  expect(response.headers.get('Content-Type')).toContain('text/html')
  const text = await response.text()
  const [, nonce = '', script = ''] =
    [...text.matchAll(/<script nonce="([^"]+)">([^]*?)<\/script>/g)].at(-1) ?? []
  expect(response.headers.get('Content-Security-Policy')).toContain(`'nonce-${nonce}'`)
  const wrong = await submit(script, { user: 'alice', password: 'wrong' }, '')
  expect(wrong).toEqual({ error: 'Invalid user name or password' })
  const right = await submit(script, { user: 'alice', password: 'password of alice' }, '?device_id=GHTYAJCE')
  expect(right).toMatchObject({ login: { user_id: userId, device_id: 'GHTYAJCE' } })
})
