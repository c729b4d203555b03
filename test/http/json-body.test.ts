// Request bodies are read no further than they may be long.

import { request as httpRequest } from 'node:http'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

const path = '/_matrix/client/v3/login'

test('a body without a length is cut off where it becomes too long', async () => {
  const request = httpRequest(`${server.url}${path}`, { method: 'POST' })
  request.on('error', () => undefined)
  const answered = once(request, 'response') as Promise<[IncomingMessage]>
  // More than the limit, and no end.
  for (let n = 0; n < 40; n++) request.write('x'.repeat(65_536))
  const [response] = await answered
  expect(response.statusCode).toBe(413)
  request.destroy()
})

test.each([
  ['what is not JSON', '{', 'M_NOT_JSON'],
  ['nothing', '', 'M_NOT_JSON'],
  ['a list', '[]', 'M_BAD_JSON'],
  ['what is not UTF-8', new Uint8Array([0x22, 0xff, 0x22]), 'M_NOT_JSON'],
])('%s is refused', async (_, body, errcode) => {
  const response = await server.fetch(path, { method: 'POST', body })
  expect([response.status, await response.json()]).toEqual([400, expect.objectContaining({ errcode })])
})
