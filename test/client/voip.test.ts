// Credentials for TURN servers.

import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { newClient } from '../support/room-client.ts'
import { startServer } from '../support/server.ts'

async function turnServer(vars: Record<string, string>) {
  const server = await startServer({ vars })
  try {
    const alice = await newClient(server, 'alice')
    return await alice.call('GET', '/voip/turnServer')
  } finally {
    await server.stop()
  }
}

test('are empty where there are none', async () => {
  expect(await turnServer({})).toMatchObject({ status: 200, body: {} })
})

test('are made from the secret for a while', async () => {
  const vars = {
    TURN_URIS: 'turn:a.test?transport=udp,turns:a.test',
    TURN_SHARED_SECRET: 's',
    TURN_TTL_SECONDS: '600',
  }
  const { body } = await turnServer(vars)
  expect(body).toMatchObject({ uris: ['turn:a.test?transport=udp', 'turns:a.test'], ttl: 600 })
  const [until, ...user] = (body['username'] as string).split(':')
  expect(user.join(':')).toBe('@alice:test.local')
  expect(Math.abs(Number(until) - Date.now() / 1000 - 600)).toBeLessThan(60)
  const password = createHmac('sha1', 's')
    .update(body['username'] as string)
    .digest('base64')
  expect(body['password']).toBe(password)
})

test('are the same for all where the operator says so', async () => {
  const { body } = await turnServer({ TURN_URIS: 'turn:a.test', TURN_USERNAME: 'u', TURN_PASSWORD: 'p' })
  expect(body).toEqual({ uris: ['turn:a.test'], ttl: 86_400, username: 'u', password: 'p' })
})
