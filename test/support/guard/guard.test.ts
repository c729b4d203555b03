import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startServer, type TestServer } from '../server.ts'

let server: TestServer
beforeEach(async () => {
  server = await startServer({ entry: join(import.meta.dirname, 'probe-entry.ts') })
})
afterEach(async () => {
  await server.kill()
})

test('calls and rows of a Durable Object are counted', async () => {
  await server.fetch('/room/read')
  const counts = await server.measure(() => server.fetch('/room/write?n=3'))
  // Three rows written; read back, and the call of `read` from within is no request.
  expect(counts).toMatchObject({ doRequests: 1, doRowsWritten: 3, doRowsRead: 3, subrequests: 1 })
  expect(await server.measure(() => server.fetch('/room/arm'))).toMatchObject({
    doRequests: 1,
    doRowsWritten: 1,
  })
})

test('queries and rows of D1 are counted', async () => {
  await server.fetch('/d1?n=1')
  const response = await server.fetch('/d1?n=1')
  expect(await response.json()).toEqual([0, [[4, 'x']]])
  const counts = await server.measure(() => server.fetch('/d1?n=5'))
  expect(counts).toMatchObject({ d1Queries: 8, d1RowsWritten: 6, subrequests: 4 })
})

test('operations on R2 are counted', async () => {
  expect(await server.measure(() => server.fetch('/r2'))).toMatchObject({ r2Operations: 2, subrequests: 2 })
})

test('the invocation with the most subrequests is named', async () => {
  await server.fetch('/d1?n=1')
  const { mostSubrequests } = await server.report()
  expect(mostSubrequests).toEqual({ invocation: 'GET /d1', subrequests: 4 })
})

describe('a broken limit fails the test when its server stops', () => {
  test.each([
    ['101 parameters', '/room/parameters?n=101', '101 parameters, 100 are allowed'],
    ['a row of more than 2 MB', `/room/row?n=${2 * 1024 * 1024 + 1}`, 'rows can have 2097152'],
    ['an RPC answer of more than 32 MiB', `/room/text?n=${32 * 1024 * 1024 + 1}`, '32 MiB are allowed'],
    ['storage that the guard does not count', '/room/keyValue', 'storage.put is not counted'],
  ])('%s', async (_, path, message) => {
    await server.fetch(path)
    await expect(server.stop()).rejects.toThrow(message)
  })

  test('and nothing is wrong with 100 parameters', async () => {
    await server.fetch('/room/parameters?n=100')
    await server.stop()
  })
})
