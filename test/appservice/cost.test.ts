// What application services cost that act as users: what others cost, and a request for the device.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { readWranglerConfig } from '../../scripts/wrangler-config.ts'
import { actingClient, registered, registerGhost } from '../support/acting-client.ts'
import type { RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let ghost: string
beforeAll(async () => {
  // As in the tests of what others cost.
  const { ROOM_ALARM_SECONDS = '' } = readWranglerConfig().vars
  server = await startServer({
    vars: { SESSION_CACHE: 'off', PRESENCE: 'off', ROOM_ALARM_SECONDS, ...registered('irc') },
  })
  ghost = await registerGhost(server, 'irc', 'ghost')
  await actingClient(server, 'irc', { user_id: ghost }).call('PUT', '/devices/PHONE', {})
})
afterAll(() => server.stop())

async function costOfMessage(client: RoomClient) {
  const roomId = await client.createRoom()
  await client.send(roomId, { body: 'first' })
  return await server.measure(() => client.send(roomId, { body: 'second' }))
}

it('a message without a device: at most 5 rows, 2 Durable Object requests, 1 look-up in D1', async () => {
  const counts = await costOfMessage(actingClient(server, 'irc', { user_id: ghost }))
  expect(counts.doRowsWritten).toBeLessThanOrEqual(5)
  expect(counts).toMatchObject({ doRequests: 2, d1Queries: 1, d1RowsWritten: 0 })
})

it('MSC4326: a message of a device: one Durable Object request more', async () => {
  const counts = await costOfMessage(actingClient(server, 'irc', { user_id: ghost, device_id: 'PHONE' }))
  expect(counts.doRowsWritten).toBeLessThanOrEqual(5)
  expect(counts).toMatchObject({ doRequests: 3, d1Queries: 1, d1RowsWritten: 0 })
})
