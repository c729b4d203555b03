// What application services may cost: nothing where they are not interested, and little where they are.

import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { readWranglerConfig } from '../../scripts/wrangler-config.ts'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

// Of the room, and of the sender: it looks after what a crash may have interrupted half a minute later.
const alarm = 1
const alarms = 2 * alarm

let bridge: TestAppservice
let server: TestServer
let alice: RoomClient
let bob: RoomClient
let ann: RoomClient
let bridged: string
let other: string

beforeAll(async () => {
  bridge = await startAppservice('bridge')
  const { ROOM_ALARM_SECONDS = '' } = readWranglerConfig().vars
  server = await startServer({
    vars: {
      SESSION_CACHE: 'off',
      PRESENCE: 'off',
      ROOM_ALARM_SECONDS,
      ...bridge.vars({
        receive_ephemeral: true,
        namespaces: {
          users: [{ exclusive: false, regex: '@bridge_.*' }],
          aliases: [{ exclusive: false, regex: '#bridge_.*' }],
        },
      }),
    },
  })
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
  ann = await newClient(server, 'bridge_ann')
  bridged = await alice.createRoom({ preset: 'public_chat' })
  other = await alice.createRoom({ preset: 'public_chat' })
  for (const user of [bob, ann]) await user.join(bridged)
  await bob.join(other)
}, 30_000)
afterAll(async () => {
  await server.stop()
  await bridge.stop()
})

// What happens once in the life of an object is not part of an operation.
beforeEach(async () => {
  for (const roomId of [bridged, other]) {
    await alice.send(roomId, { body: 'before' })
    await types(alice, roomId, true)
    await types(alice, roomId, false)
  }
})

const types = (user: RoomClient, roomId: string, typing: boolean) =>
  user.done('PUT', `/rooms/${encodeURIComponent(roomId)}/typing/${user.userId}`, { typing })

it('a message in a room that one is interested in: 3 rows more, and 1 request after the answer', async () => {
  const before = bridge.transactions().length
  const counts = await server.measure(() => alice.send(bridged, { body: 'hello' }))
  expect(bridge.transactions()).toHaveLength(before + 1)
  expect(counts.doRowsWritten).toBeLessThanOrEqual(5 + 3 + alarms)
  expect([counts.doRequests, counts.d1Queries]).toEqual([2 + 1, 1])
})

it('ten messages in a burst: at most 4 rows more each, since some wait for others', async () => {
  const counts = await server.measure(async () => {
    for (let i = 0; i < 10; i += 1) await alice.send(bridged, { body: `${i}` })
  })
  expect(counts.doRowsWritten).toBeLessThanOrEqual(10 * (5 + 4) + alarms)
  expect(counts.doRequests).toBeLessThanOrEqual(10 * (2 + 1))
})

it('a message in a room that none is interested in: what it costs without application services', async () => {
  const counts = await server.measure(() => alice.send(other, { body: 'hello' }))
  expect(counts.doRowsWritten).toBeLessThanOrEqual(5 + alarm)
  expect([counts.doRequests, counts.d1Queries]).toEqual([2, 1])
})

it('typing and receipts: no row and 1 request more where one is interested, and none where it is not', async () => {
  const typing = await server.measure(() => types(bob, bridged, true))
  expect([typing.doRowsWritten, typing.doRequests]).toEqual([0, 1 + 1])
  const elsewhere = await server.measure(() => types(bob, other, true))
  expect([elsewhere.doRowsWritten, elsewhere.doRequests]).toEqual([0, 1])
  const eventId = await alice.send(bridged, { body: 'read' })
  const reading = await server.measure(() =>
    bob.done(
      'POST',
      `/rooms/${encodeURIComponent(bridged)}/receipt/m.read/${encodeURIComponent(eventId)}`,
      {},
    ),
  )
  expect(reading.doRowsWritten).toBeLessThanOrEqual(2)
  expect(reading.doRequests).toBe(1 + 1)
})

it('an application service that is away: nothing more than 2 rows a message, and 2 rows and a request a try', async () => {
  await bridge.stop()
  await alice.send(bridged, { body: 'lost' })
  const counts = await server.measure(async () => {
    for (let i = 0; i < 10; i += 1) await alice.send(bridged, { body: `${i}` })
  })
  expect(counts.doRowsWritten).toBeLessThanOrEqual(10 * (5 + 2) + alarms + 3 * 2)
  await bridge.start()
  await bridge.until(() => bridge.events().some((event) => JSON.stringify(event).includes('"body":"9"')))
})
