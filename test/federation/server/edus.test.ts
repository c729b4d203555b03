// Ephemeral data as another server sends it: what of it is believed.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { type JsonObject, objectProperty } from '../../../src/matrix/json.ts'
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

test('MSC4163: receipts of a room that shuts a server out do not take those of other rooms along', async () => {
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

test('receipts of threads that are none, and times that are none, are not taken over', async () => {
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await remote.join(roomId, bob)
  const said = await alice.send(roomId, { body: 'said' })
  const receipt = async (data: JsonObject) => {
    const content = { [roomId]: { 'm.read': { [bob]: { data, event_ids: [said] } } } }
    await receive({ edu_type: 'm.receipt', content })
    return (await ephemeral(roomId)).map((event) => event['content'])
  }
  for (const threadId of ['', 'anything', 5, 'x'.repeat(300), null]) {
    expect(await receipt({ ts: 1, thread_id: threadId }), String(threadId)).toEqual([])
  }
  const ofBob = (data: unknown) => [{ [said]: { 'm.read': { [bob]: data } } }]
  expect(await receipt({ ts: 1, thread_id: 'main' })).toEqual(ofBob({ ts: 1, thread_id: 'main' }))
  const [content = {}] = (await receipt({ ts: -5 })) as Record<string, JsonObject>[]
  const { ts } = objectProperty(objectProperty(content[said], 'm.read'), bob) ?? {}
  expect(ts).toBeGreaterThan(0)
})

test('private receipts are not taken over: they never leave their server', async () => {
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await remote.join(roomId, bob)
  const said = await alice.send(roomId, { body: 'said' })
  const own = { [bob]: { data: { ts: 1 }, event_ids: [said] } }
  await receive({ edu_type: 'm.receipt', content: { [roomId]: { 'm.read.private': own } } })
  expect(await ephemeral(roomId)).toEqual([])
})

test('MSC4163: who types in a room that shuts their server out is not shown', async () => {
  const rooms = [
    await alice.createRoom({ preset: 'public_chat' }),
    await alice.createRoom({ preset: 'public_chat' }),
  ]
  const [shut = '', open = ''] = rooms
  for (const roomId of rooms) await remote.join(roomId, bob)
  await alice.setState(shut, 'm.room.server_acl', { allow: ['*'], deny: ['remote.test'] })
  const typing = (roomId: string) => ({
    edu_type: 'm.typing',
    content: { room_id: roomId, user_id: bob, typing: true },
  })
  await receive(typing(shut), typing(open))
  expect(await ephemeral(open)).toEqual([{ type: 'm.typing', content: { user_ids: [bob] } }])
  expect(await ephemeral(shut)).toEqual([])
})
