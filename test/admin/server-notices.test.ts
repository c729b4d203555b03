// Notices of the server: in one room a user, invited rather than joined, sent by administrators alone.

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let admin: RoomClient
let alice: RoomClient
beforeAll(async () => {
  server = await startServer()
  admin = await newClient(server, 'admin')
  alice = await newClient(server, 'alice')
  const db = await server.mf.getD1Database('DB')
  await db.prepare("UPDATE users SET admin = 1 WHERE user_id = '@admin:test.local'").run()
})
afterAll(() => server.stop())

const path = '/../../../_synapse/admin/v1/send_server_notice'
const notice = (userId: string, body = 'hello') => ({ user_id: userId, content: { msgtype: 'm.text', body } })

async function rooms(of: RoomClient) {
  const { rooms: found = {} } = await of.done('GET', '/sync')
  return found as Record<string, Record<string, JsonObject>>
}

test('come by an invite that cannot be rejected, into a room of which there is one', async () => {
  const sent = await admin.done('POST', path, notice(alice.userId))
  const [roomId = ''] = Object.keys((await rooms(alice))['invite'] ?? {})
  const rejected = refusal(403, 'M_CANNOT_LEAVE_SERVER_NOTICE_ROOM')
  expect(await alice.leave(roomId)).toEqual(rejected)
  expect(await alice.setState(roomId, 'm.room.member', { membership: 'leave' }, alice.userId)).toEqual(
    rejected,
  )
  expect((await alice.join(roomId)).status).toBe(200)
  const joined = (await rooms(alice))['join']?.[roomId]
  expect(JSON.stringify(joined)).toContain(sent['event_id'])
  expect(JSON.stringify(joined?.['account_data'])).toContain('m.server_notice')
  // Nobody answers.
  expect((await alice.inRoom('PUT', roomId, 'send/m.room.message/1', { body: 'x' })).status).toBe(403)
  expect((await alice.leave(roomId)).status).toBe(200)
  await admin.done('POST', path, notice(alice.userId))
  expect(Object.keys((await rooms(alice))['invite'] ?? {})).toEqual([roomId])
})

test('with a transaction id are sent once, and one room is made however many come at a time', async () => {
  const bob = await newClient(server, 'bob')
  const sent = await Promise.all(
    Array.from({ length: 5 }, () => admin.done('PUT', `${path}/same`, notice(bob.userId))),
  )
  const again = await admin.done('PUT', `${path}/same`, notice(bob.userId))
  expect(sent.map((answer) => answer['event_id'])).toContain(again['event_id'])
  await admin.done('PUT', `${path}/other`, notice(bob.userId))
  const db = await server.mf.getD1Database('DB')
  const { results } = await db
    .prepare("SELECT room_id FROM server_notice_rooms WHERE user_id LIKE '@bob%'")
    .all()
  expect(results).toHaveLength(1)
  expect(Object.keys((await rooms(bob))['invite'] ?? {})).toEqual([results[0]?.['room_id']])
})

test('are sent by administrators, to users of this server', async () => {
  expect(await alice.call('POST', path, notice(admin.userId))).toEqual(refusal(403, 'M_FORBIDDEN'))
  expect(await alice.call('POST', path, {})).toEqual(refusal(403, 'M_FORBIDDEN'))
  for (const id of ['@nobody:test.local', '@bob:elsewhere.test', 'x']) {
    expect(await admin.call('POST', path, notice(id)), id).toEqual(refusal(404, 'M_NOT_FOUND'))
  }
  expect(await admin.call('POST', path, { user_id: alice.userId })).toEqual(refusal(400, 'M_MISSING_PARAM'))
  expect(await admin.call('POST', path, { user_id: alice.userId, content: 'x' })).toEqual(
    refusal(400, 'M_BAD_JSON'),
  )
})

test('invites of others can be rejected', async () => {
  const roomId = await admin.createRoom({ invite: [alice.userId] })
  expect((await alice.leave(roomId)).status).toBe(200)
})
