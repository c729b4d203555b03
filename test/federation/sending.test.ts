// What leaves this server for others: over TLS to a simulated one that notes what it gets. The tests are one story.

import { mkdtemp, rm } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { federationTransport } from '../../scripts/federation-transport.ts'
import { readWranglerConfig } from '../../scripts/wrangler-config.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { type AskingServer, askingServer } from '../support/asking-server.ts'
import { makeAuthority } from '../support/certificates.ts'
import { type FakeHomeserver, startFakeHomeserver } from '../support/fake-homeserver.ts'
import { loopbackNames } from '../support/federated-server.ts'
import { newClient, refusal, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

const authority = makeAuthority()

interface Transaction {
  readonly txnId: string
  readonly text: string
  readonly pdus: JsonObject[]
  readonly edus: JsonObject[]
}

let dataDir: string
let fake: FakeHomeserver
let server: TestServer
let remote: AskingServer
let alice: RoomClient
let roomId: string
let answer: (response: ServerResponse) => void
const received: Transaction[] = []

const ok = (response: ServerResponse) => void response.writeHead(200).end('{"pdus":{}}')

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'hearth-sending-'))
  fake = await startFakeHomeserver(authority, 'fake.test')
  answer = ok
  fake.route('/_matrix/federation/v1/send/*', ({ url = '' }, response, text) => {
    const { pdus, edus = [] } = JSON.parse(text) as { pdus: JsonObject[]; edus?: JsonObject[] }
    received.push({ txnId: url.split('/').at(-1) ?? '', text, pdus, edus })
    answer(response)
  })
  server = await start()
  alice = await newClient(server, 'alice')
  remote = await askingServer(server, fake.serverName)
  roomId = await alice.createRoom({ preset: 'public_chat', room_version: '11' })
})
afterAll(async () => {
  await server.stop()
  await fake.stop()
  await rm(dataDir, { recursive: true, force: true })
})

function start(): Promise<TestServer> {
  const federation = federationTransport({
    extraCa: [authority.ca],
    allowPrivateNetworks: true,
    names: loopbackNames,
  })
  // As on Workers: each request looks its session up, alarms that are there for crashes alone come late.
  const { ROOM_ALARM_SECONDS = '' } = readWranglerConfig().vars
  const vars = { SESSION_CACHE: 'off', PRESENCE: 'off', ROOM_ALARM_SECONDS }
  return startServer({ dataDir, federation, vars })
}

const bodies = () => received.flatMap(({ pdus }) => pdus.map((pdu) => (pdu['content'] as JsonObject)['body']))
const say = (body: string) => alice.send(roomId, { msgtype: 'm.text', body })
const edus = (type: string) =>
  received.flatMap((transaction) => transaction.edus).filter((edu) => edu['edu_type'] === type)

it('in a room of our own users alone nothing is sent, and nobody is told', async () => {
  await say('for us alone')
  const { byClass } = await server.report()
  expect(byClass['FederationSender']).toBeUndefined()
})

it('a message reaches a server that has joined, whole and signed', async () => {
  await remote.join(roomId, remote.user('bob'))
  const eventId = await say('hello')
  await vi.waitFor(() => expect(bodies()).toEqual(['hello']), 20_000)
  const [pdu] = received[0]?.pdus ?? []
  expect(pdu).toMatchObject({ type: 'm.room.message', sender: alice.userId, room_id: roomId })
  expect(pdu?.['signatures']).toHaveProperty('test.local')
  expect(pdu).not.toHaveProperty('unsigned')
  expect(eventId).toMatch(/^\$/)
  expect(JSON.parse(received[0]?.text ?? '')).toMatchObject({ origin: 'test.local' })
})

it('its own join is not sent back to it', () => {
  expect(received.flatMap(({ pdus }) => pdus).map((pdu) => pdu['type'])).toEqual(['m.room.message'])
})

describe('the budget of', () => {
  it('a federated message: 6 rows and one for the transaction; 2 requests before the answer and 1 after', async () => {
    await say('warm')
    const counts = await server.measure(async () => {
      const seen = received.length
      await say('measured')
      await vi.waitFor(() => expect(received.length).toBe(seen + 1), 20_000)
    })
    expect(counts.doRowsWritten).toBeLessThanOrEqual(6 + 1)
    expect(counts.doRequests).toBeLessThanOrEqual(2 + 1)
    expect(counts.fetches).toBe(1)
  })

  it('typing: no row', async () => {
    const counts = await server.measure(async () => {
      await alice.done('PUT', `/rooms/${roomId}/typing/${alice.userId}`, { typing: true, timeout: 30_000 })
      await vi.waitFor(() => expect(edus('m.typing')).toHaveLength(1), 20_000)
    })
    expect(counts.doRowsWritten).toBe(0)
    expect(edus('m.typing')[0]?.['content']).toEqual({ room_id: roomId, user_id: alice.userId, typing: true })
  })
})

it('the end of typing is told, and receipts are, but not private ones', async () => {
  await alice.done('PUT', `/rooms/${roomId}/typing/${alice.userId}`, { typing: false })
  await vi.waitFor(
    () => expect(edus('m.typing').at(-1)).toMatchObject({ content: { typing: false } }),
    20_000,
  )
  const first = await say('read this')
  const second = await say('and this')
  await alice.done('POST', `/rooms/${roomId}/receipt/m.read.private/${encodeURIComponent(second)}`, {})
  await alice.done('POST', `/rooms/${roomId}/receipt/m.read/${encodeURIComponent(first)}`, {})
  await vi.waitFor(() => expect(edus('m.receipt')).toHaveLength(1), 20_000)
  const { content } = edus('m.receipt')[0] ?? {}
  expect(content).toMatchObject({ [roomId]: { 'm.read': { [alice.userId]: { event_ids: [first] } } } })
  expect(JSON.stringify(content)).not.toContain(second)
})

it('one who joins through us is shown to the others; one who was removed is told so, and nothing after that', async () => {
  const carolsServer = await startFakeHomeserver(authority, 'other.test')
  const types: unknown[] = []
  carolsServer.route('/_matrix/federation/v1/send/*', (_, response, text) => {
    const { pdus } = JSON.parse(text) as { pdus: JsonObject[] }
    types.push(...pdus.map((pdu) => pdu['content']))
    ok(response)
  })
  const other = await askingServer(server, carolsServer.serverName)
  const carol = other.user('carol')
  await other.join(roomId, carol)
  // Who lets somebody in tells the others, but not the one who joined.
  await vi.waitFor(
    () => expect(received.at(-1)?.pdus).toMatchObject([{ sender: carol, content: { membership: 'join' } }]),
    20_000,
  )
  const kicked = await alice.act('kick', roomId, carol)
  expect(kicked.status).toBe(200)
  await vi.waitFor(() => expect(types).toMatchObject([{ membership: 'leave' }]), 20_000)
  await say('without carol')
  await vi.waitFor(() => expect(bodies()).toContain('without carol'), 20_000)
  expect(types).toHaveLength(1)
  await carolsServer.stop()
})

it('a transaction that was under way when the server died is sent again identically, then what follows', async () => {
  answer = () => undefined
  await say('before the end')
  await vi.waitFor(() => expect(bodies()).toContain('before the end'), 20_000)
  await server.kill()
  const interrupted = received.at(-1)
  answer = ok
  server = await start()
  alice = roomClient(server, alice)
  await say('after it')
  await vi.waitFor(() => expect(bodies()).toContain('after it'), 20_000)
  const again = received.filter(({ txnId }) => txnId === interrupted?.txnId)
  expect(again).toHaveLength(2)
  expect(again[1]?.text).toBe(again[0]?.text)
  expect(bodies().filter((body) => body === 'after it')).toHaveLength(1)
})

it('a failing destination is listed, for admins only', async () => {
  answer = (response) => void response.writeHead(503).end('{}')
  await say('in vain')
  await vi.waitFor(() => expect(bodies()).toContain('in vain'), 20_000)
  expect(await server.request('GET', '/_hearth/admin/v1/destinations')).toEqual(
    refusal(401, 'M_MISSING_TOKEN'),
  )
  const list = async () =>
    await server.request('GET', '/_hearth/admin/v1/destinations', { token: alice.token })
  expect(await list()).toEqual(refusal(403, 'M_FORBIDDEN'))
  const db = await server.mf.getD1Database('DB')
  await db.prepare('UPDATE users SET admin = 1').run()
  const standing = async () => {
    const { destinations } = (await list()).body as unknown as { destinations: JsonObject[] }
    return destinations.find(({ destination }) => destination === fake.serverName)
  }
  await vi.waitFor(
    async () =>
      expect(await standing()).toMatchObject({
        state: 'backing_off',
        last_error: 'status 503',
        backlog: { transaction_in_flight: true },
      }),
    // After the retries within seconds.
    { timeout: 15_000 },
  )
})
