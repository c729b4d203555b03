// An application service that looks after a room by its id, and has no user there.
// Specification: application service API, "Registration", "Pushing ephemeral data".

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'
import { newClient, roomClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let dataDir: string
let logger: TestAppservice
let server: TestServer
let alice: RoomClient
let bob: RoomClient
let logged: string
let other: string

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'hearth-rooms-'))
  logger = await startAppservice('logger')
  server = await startServer({ dataDir })
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
  logged = await alice.createRoom()
  other = await bob.createRoom()
  // The ids of rooms are not for anybody to choose.
  await server.stop()
  const rooms = [{ exclusive: false, regex: logged.replace(/[.]/g, '\\.') }]
  const vars = { PRESENCE: 'on', ...logger.vars({ namespaces: { rooms }, receive_ephemeral: true }) }
  server = await startServer({ dataDir, vars })
  alice = roomClient(server, alice)
  bob = roomClient(server, bob)
}, 30_000)
afterAll(async () => {
  await server.stop()
  await logger.stop()
  await rm(dataDir, { recursive: true, force: true })
})

it('is told of all events in it, and of none elsewhere', async () => {
  const elsewhere = await bob.send(other, { body: 'secret' })
  const sent = await alice.send(logged, { body: 'logged' })
  await logger.until(() => logger.events().length > 0)
  expect(logger.events().map((event) => event['event_id'])).toEqual([sent])
  expect(JSON.stringify(logger.requests)).not.toContain(elsewhere)
})

it('MSC2409: is told of who types, reads and is there in it, and of nobody elsewhere', async () => {
  const inRoom = (roomId: string, rest: string) => `/rooms/${encodeURIComponent(roomId)}/${rest}`
  for (const [user, roomId] of [
    [bob, other],
    [alice, logged],
  ] as const) {
    await user.done('PUT', inRoom(roomId, `typing/${user.userId}`), { typing: true })
    const eventId = await user.send(roomId, { body: 'read' })
    await user.done('POST', inRoom(roomId, `receipt/m.read/${encodeURIComponent(eventId)}`), {})
    await user.done('POST', inRoom(roomId, `receipt/m.read.private/${encodeURIComponent(eventId)}`), {})
    await user.done('PUT', `/presence/${user.userId}/status`, { presence: 'online', status_msg: 'hi' })
  }
  await logger.until(() => logger.ephemeral().some(({ type }) => type === 'm.presence'))
  const got = logger.ephemeral()
  expect(new Set(got.map(({ type }) => type))).toEqual(new Set(['m.typing', 'm.receipt', 'm.presence']))
  expect(got).toContainEqual({
    type: 'm.typing',
    room_id: logged,
    content: { user_ids: [alice.userId] },
  })
  expect(got).toContainEqual({
    type: 'm.presence',
    sender: alice.userId,
    content: expect.objectContaining({ presence: 'online', status_msg: 'hi' }) as object,
  })
  const text = JSON.stringify(got)
  for (const foreign of [bob.userId, other, 'm.read.private']) expect(text).not.toContain(foreign)
})
