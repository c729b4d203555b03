// The keys of other servers do not grow without bound.

import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import type { ServerName } from '../../src/matrix/event.ts'
import { keepRemoteKeys, pruneRemoteKeys } from '../../src/storage/remote-keys.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let env: { readonly DB: D1Database }
beforeAll(async () => {
  server = await startServer()
  env = { DB: await server.mf.getD1Database('DB') }
})
afterAll(() => server.stop())
beforeEach(async () => {
  await env.DB.prepare('DELETE FROM remote_keys').run()
})

async function keep(
  serverName: string,
  count: number,
  options: { old?: boolean; at?: number; size?: number } = {},
) {
  const { old = false, at = 0, size = 100 } = options
  await keepRemoteKeys(
    env as Parameters<typeof keepRemoteKeys>[0],
    Array.from({ length: count }, (_, i) => ({
      serverName: serverName as ServerName,
      keyId: `ed25519:${old ? 'old' : 'new'}${i}`,
      publicKey: 'x'.repeat(43),
      validUntilTs: 1,
      old,
      fetchedAt: at,
      response: 'x'.repeat(size),
    })),
  )
}

async function kept(): Promise<Record<string, number>> {
  const { results } = await env.DB.prepare(
    'SELECT server_name, count(*) AS n FROM remote_keys GROUP BY server_name',
  ).all<{ server_name: string; n: number }>()
  return Object.fromEntries(results.map(({ server_name: name, n }) => [name, n]))
}

it('a server with too many keys loses its old ones first', async () => {
  await keep('a.test', 5)
  await keep('a.test', 5, { old: true })
  await keep('b.test', 2, { old: true })
  await pruneRemoteKeys(env, { bytes: 1_000_000, perServer: 6 })
  expect(await kept()).toEqual({ 'a.test': 6, 'b.test': 2 })
  const old = await env.DB.prepare(
    "SELECT count(*) AS n FROM remote_keys WHERE server_name = 'a.test' AND old = 0",
  ).first('n')
  expect(old).toBe(5)
})

it('where all take too much, those fetched last stay', async () => {
  for (let i = 0; i < 10; i += 1) await keep(`s${i}.test`, 1, { at: i, size: 10_000 })
  await pruneRemoteKeys(env, { bytes: 35_000, perServer: 6 })
  expect(await kept()).toEqual({ 's7.test': 1, 's8.test': 1, 's9.test': 1 })
})

it('below the limits nothing is lost', async () => {
  await keep('a.test', 20)
  await pruneRemoteKeys(env)
  expect(await kept()).toEqual({ 'a.test': 20 })
})
