// A message to many servers by the queue, as on Cloudflare.

import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { federationTransport } from '../../scripts/federation-transport.ts'
import { readWranglerConfig } from '../../scripts/wrangler-config.ts'
import { type AskingServer, askingServer } from '../support/asking-server.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { loopbackNames } from '../support/federated-server.ts'
import { newClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

const authority = makeAuthority()
const count = 23
let server: TestServer
let fakes: FakeHomeserver[]
let others: AskingServer[]

beforeAll(async () => {
  const federation = federationTransport({
    extraCa: [authority.ca],
    allowPrivateNetworks: true,
    names: loopbackNames,
  })
  const { SENDER_QUEUE_FROM = '', SENDER_CONNECTIONS = '' } = readWranglerConfig().vars
  server = await startServer({
    federation,
    vars: { SENDER_QUEUE_FROM, SENDER_CONNECTIONS, ROOM_ALARM_SECONDS: '1800' },
  })
  fakes = await Promise.all(
    Array.from({ length: count }, (_, i) => startFakeHomeserver(authority, `s${i}.test`)),
  )
  others = await Promise.all(fakes.map(({ serverName }) => askingServer(server, serverName)))
})
afterAll(async () => {
  await server.stop()
  await Promise.all(fakes.map((fake) => fake.stop()))
})

it('reaches them all, once', async () => {
  const got = new Map<string, number>()
  for (const fake of fakes) {
    fake.route('/_matrix/federation/v1/send/*', (_, response, text) => {
      if (text.includes('to all of you')) got.set(fake.serverName, (got.get(fake.serverName) ?? 0) + 1)
      response.end('{"pdus":{}}')
    })
  }
  const alice = await newClient(server, 'alice')
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
  for (const other of others) await other.join(roomId, other.user('user'))
  // Until all that is told.
  await server.measure(() => alice.send(roomId, { msgtype: 'm.text', body: 'first' }))
  const counts = await server.measure(async () => {
    await alice.send(roomId, { msgtype: 'm.text', body: 'to all of you' })
    await vi.waitFor(() => expect(got.size).toBe(count), { timeout: 20_000 })
  })
  expect([...got.values()]).toEqual(Array.from({ length: count }, () => 1))
  // Two messages of ten, of three operations each; the remaining three were sent by the sender itself.
  expect(counts.queueOperations).toBe(2 * 3)
  // Room, Hub and sender, and two calls for each message.
  expect(counts.doRequests).toBeLessThanOrEqual(3 + 2 * 2)
  // The message, the outbox, a transaction for each, an alarm of the sender and one of the room.
  expect(counts.doRowsWritten).toBeLessThanOrEqual(5 + 1 + count + 2)
})
