// What users report is kept, and reporting tells nobody what is there.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
})
afterAll(() => server.stop())

async function reports() {
  const db = await server.mf.getD1Database('DB')
  const { results } = await db
    .prepare('SELECT reporter, room_id, event_id, user_id, reason, score FROM reports ORDER BY id')
    .all()
  await db.prepare('DELETE FROM reports').run()
  return results
}
const nothing = { room_id: null, event_id: null, user_id: null, score: null, reason: '' }

test('an event is reported by those who are in its room', async () => {
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  const eventId = await alice.send(roomId, { body: 'awful' })
  const path = `report/${encodeURIComponent(eventId)}`
  expect(await bob.inRoom('POST', roomId, path, {})).toEqual(refusal(404, 'M_NOT_FOUND'))
  await bob.join(roomId)
  expect((await bob.inRoom('POST', roomId, path, { reason: 'sad', score: -50 })).status).toBe(200)
  expect((await bob.inRoom('POST', roomId, path, {})).status).toBe(200)
  expect(await bob.inRoom('POST', roomId, 'report/$unknown', {})).toEqual(refusal(404, 'M_NOT_FOUND'))
  const kept = { ...nothing, reporter: bob.userId, room_id: roomId, event_id: eventId }
  expect(await reports()).toEqual([{ ...kept, reason: 'sad', score: -50 }, kept])
})

test('MSC4151: a room is reported by anybody, whether it is there or not, under its unstable name too', async () => {
  const roomId = await alice.createRoom()
  expect((await bob.inRoom('POST', roomId, 'report', { reason: '' })).status).toBe(200)
  const unstable = '/../unstable/org.matrix.msc4151/rooms/!nothing:test.local/report'
  expect((await bob.call('POST', unstable, { reason: '' })).status).toBe(200)
  expect(await reports()).toEqual([
    { ...nothing, reporter: bob.userId, room_id: roomId },
    { ...nothing, reporter: bob.userId, room_id: '!nothing:test.local' },
  ])
})

test('MSC4260: a user is reported by anybody, whether they are there or not, under its unstable name too', async () => {
  const unstable = '/../unstable/org.matrix.msc4260/users'
  for (const path of [`/users/${alice.userId}`, `${unstable}/@nobody:elsewhere.test`]) {
    const answer = await bob.call('POST', `${path}/report`, { reason: 'rude' })
    expect(answer).toMatchObject({ status: 200, body: {} })
  }
  expect(await reports()).toMatchObject([{ user_id: alice.userId }, { user_id: '@nobody:elsewhere.test' }])
})

test('a reason is a text, and must be there for rooms and users', async () => {
  const roomId = await bob.createRoom()
  expect(await bob.inRoom('POST', roomId, 'report', {})).toEqual(refusal(400, 'M_MISSING_PARAM'))
  expect(await bob.inRoom('POST', roomId, 'report', { reason: 1 })).toEqual(refusal(400, 'M_BAD_JSON'))
  expect(await bob.inRoom('POST', roomId, 'report', { reason: 'x'.repeat(10_001) })).toEqual(
    refusal(400, 'M_BAD_JSON'),
  )
  expect(await bob.call('POST', '/users/x/report', { reason: '' })).toEqual(refusal(400, 'M_INVALID_PARAM'))
  expect(await bob.call('POST', `/users/${alice.userId}/report`, {})).toEqual(refusal(400, 'M_MISSING_PARAM'))
  const eventId = await bob.send(roomId, {})
  const path = `report/${encodeURIComponent(eventId)}`
  expect(await bob.inRoom('POST', roomId, path, { score: 1 })).toEqual(refusal(400, 'M_BAD_JSON'))
  expect(await reports()).toEqual([])
})
