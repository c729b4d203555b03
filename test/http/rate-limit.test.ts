// Rate limits by address.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startServer({ vars: { RATE_LIMITS: 'on' } })
})
afterAll(() => server.stop())

it.each([
  ['registrations', '/_matrix/client/v3/register', 10],
  ['logins', '/_matrix/client/v3/login', 20],
])('MSC4041: %s from one address are limited, and say when to come back', async (_, path, limit) => {
  const post = () => server.request('POST', path, { body: {} })
  let answer = await post()
  let taken = 0
  // The minute that the platform counts in may end on the way, once.
  while (answer.status !== 429 && taken <= 2 * limit) {
    taken += 1
    answer = await post()
  }
  expect(taken).toBeGreaterThanOrEqual(limit)
  expect(answer).toMatchObject({ status: 429, body: { errcode: 'M_LIMIT_EXCEEDED' } })
  expect(answer.headers.get('Retry-After')).toBe('10')
  expect(answer.headers.get('Access-Control-Expose-Headers')).toContain('Retry-After')
})
