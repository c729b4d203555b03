// Ephemeral data as another server sends it: what of it is believed.

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { type AskingServer, askingServer, federation } from '../../support/asking-server.ts'
import { newClient, type RoomClient } from '../../support/room-client.ts'
import { startServer, type TestServer } from '../../support/server.ts'

let server: TestServer
let alice: RoomClient
let remote: AskingServer
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  remote = await askingServer(server, 'remote.test')
})
afterAll(() => server.stop())

const bob = '@bob:remote.test'

async function receive(...edus: JsonObject[]): Promise<void> {
  const body = { origin: 'remote.test', origin_server_ts: Date.now(), pdus: [], edus }
  const answer = await remote.ask('PUT', `${federation}/v1/send/${Date.now()}`, body)
  expect(answer).toMatchObject({ status: 200, body: { pdus: {} } })
}

/** What an initial sync shows of a room besides its events. */
async function ephemeral(roomId: string): Promise<JsonObject[]> {
  const { rooms } = (await alice.done('GET', '/sync?timeout=0')) as {
    rooms: { join: Record<string, { ephemeral?: { events: JsonObject[] } }> }
  }
  return rooms.join[roomId]?.ephemeral?.events ?? []
}

const receiptOf = (eventId: string) => ({ 'm.read': { [bob]: { data: { ts: 1 }, event_ids: [eventId] } } })

test('receipts of a room that shuts a server out do not take those of other rooms along', async () => {
  const rooms = await Promise.all([1, 2].map(() => alice.createRoom({ preset: 'public_chat' })))
  // In the order of canonical JSON.
  const [shut, open] = rooms.sort()
  if (shut === undefined || open === undefined) throw new Error('no rooms')
  for (const roomId of [shut, open]) await remote.join(roomId, bob)
  const [said, alsoSaid] = [
    await alice.send(shut, { body: 'said' }),
    await alice.send(open, { body: 'said' }),
  ]
  const acl = await alice.setState(shut, 'm.room.server_acl', { allow: ['*'], deny: ['remote.test'] })
  expect(acl.status).toBe(200)

  // One EDU with the receipts of all rooms, also of one that is not here.
  const content = {
    [shut]: receiptOf(said),
    '!nowhere:remote.test': receiptOf(said),
    [open]: receiptOf(alsoSaid),
  }
  await receive({ edu_type: 'm.receipt', content })
  expect(await ephemeral(open)).toEqual([
    { type: 'm.receipt', content: { [alsoSaid]: { 'm.read': { [bob]: { ts: 1 } } } } },
  ])
  expect(await ephemeral(shut)).toEqual([])
})
