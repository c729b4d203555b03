// Unread counts of the main timeline and of threads, and what receipts of either kind do to them.

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JsonObject, JsonValue } from '../../src/matrix/json.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'
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

const threaded = JSON.stringify({ room: { timeline: { unread_thread_notifications: true } } })

/** `[notifications, highlights]` of the room as one, of the main timeline, and of each thread. */
async function counts(roomId: string) {
  const joined = async (query: string) => {
    const { rooms } = await bob.done('GET', `/sync?${query}`)
    return ((rooms as JsonObject)['join'] as Record<string, JsonObject>)[roomId]
  }
  const pair = (value: JsonValue | undefined) => {
    const { notification_count: notifications, highlight_count: highlights } = value as JsonObject
    return [notifications, highlights]
  }
  const whole = await joined('')
  const apart = await joined(`filter=${encodeURIComponent(threaded)}`)
  expect(whole).not.toHaveProperty('unread_thread_notifications')
  const threads = (apart?.['unread_thread_notifications'] ?? {}) as JsonObject
  return {
    room: pair(whole?.['unread_notifications']),
    main: pair(apart?.['unread_notifications']),
    threads: Object.fromEntries(Object.entries(threads).map(([root, value]) => [root, pair(value)])),
  }
}

async function setUp() {
  const roomId = await alice.createRoom({ preset: 'public_chat' })
  await bob.join(roomId)
  const say = (body: string, relation?: JsonObject) =>
    alice.send(roomId, {
      msgtype: 'm.text',
      body,
      ...(body.includes('bob') ? { 'm.mentions': { user_ids: [bob.userId] } } : {}),
      ...(relation ? { 'm.relates_to': relation } : {}),
    })
  const read = (eventId: string, body: JsonObject = {}) =>
    bob.inRoom('POST', roomId, `receipt/m.read/${encodeURIComponent(eventId)}`, body)
  return { roomId, say, read }
}

test('are apart for those who ask, and each is read by its own receipts', async () => {
  const { roomId, say, read } = await setUp()
  const root = await say('root')
  const inThread = { rel_type: 'm.thread', event_id: root }
  const first = await say('first', inThread)
  await say('for bob', inThread)
  const main = await say('for bob as well')
  await say('last', inThread)
  const reference = await say('reference', { rel_type: 'm.reference', event_id: root })
  expect(await counts(roomId)).toEqual({ room: [6, 2], main: [3, 1], threads: { [root]: [3, 1] } })

  expect((await read(root, { thread_id: 'main' })).status).toBe(200)
  expect(await counts(roomId)).toEqual({ room: [5, 2], main: [2, 1], threads: { [root]: [3, 1] } })

  expect((await read(first, { thread_id: root })).status).toBe(200)
  expect(await counts(roomId)).toEqual({ room: [4, 2], main: [2, 1], threads: { [root]: [2, 1] } })

  expect((await read(main)).status).toBe(200)
  expect(await counts(roomId)).toEqual({ room: [2, 0], main: [1, 0], threads: { [root]: [1, 0] } })

  // What relates to the root otherwise may be read with the thread, whose end it then is.
  expect((await read(reference, { thread_id: root })).status).toBe(200)
  expect(await counts(roomId)).toEqual({ room: [1, 0], main: [1, 0], threads: {} })
})

test('are right in rooms that nobody read for long, whatever is read of them then', async () => {
  const { roomId, say, read } = await setUp()
  const root = await say('root')
  const ids: string[] = []
  for (let n = 0; n < 620; n += 1) {
    ids.push(await say(`${n}`, n % 2 ? { rel_type: 'm.thread', event_id: root } : undefined))
  }
  // Folded by the first count, read from the fold by the second.
  for (let n = 0; n < 2; n += 1) {
    expect(await counts(roomId)).toEqual({ room: [621, 0], main: [311, 0], threads: { [root]: [310, 0] } })
  }
  // In the middle of what is folded.
  await read(ids[99] ?? '', { thread_id: root })
  expect(await counts(roomId)).toEqual({ room: [571, 0], main: [311, 0], threads: { [root]: [260, 0] } })
  await read(ids[618] ?? '', { thread_id: 'main' })
  expect(await counts(roomId)).toEqual({ room: [260, 0], main: [0, 0], threads: { [root]: [260, 0] } })
  await read(ids[609] ?? '')
  expect(await counts(roomId)).toEqual({ room: [5, 0], main: [0, 0], threads: { [root]: [5, 0] } })
  await say('new')
  expect(await counts(roomId)).toEqual({ room: [6, 0], main: [1, 0], threads: { [root]: [5, 0] } })
})

test('do not have what was taken back', async () => {
  const { roomId, say } = await setUp()
  const root = await say('root')
  const inThread = await say('for bob', { rel_type: 'm.thread', event_id: root })
  const mention = await say('for bob')
  expect(await counts(roomId)).toEqual({ room: [3, 2], main: [2, 1], threads: { [root]: [1, 1] } })
  await alice.redact(roomId, mention)
  expect(await counts(roomId)).toEqual({ room: [2, 1], main: [1, 0], threads: { [root]: [1, 1] } })
  await alice.redact(roomId, inThread)
  expect(await counts(roomId)).toEqual({ room: [1, 0], main: [1, 0], threads: {} })
})

test('a receipt for the whole room is shown where there is one for a thread as well', async () => {
  const { roomId, say, read } = await setUp()
  const root = await say('root')
  const reply = await say('reply', { rel_type: 'm.thread', event_id: root })
  await read(reply)
  await read(reply, { thread_id: root })
  const { rooms } = await alice.done('GET', '/sync')
  const text = JSON.stringify((rooms as { join: JsonObject }).join[roomId])
  expect(text).toMatch(/"m.read":\{"@bob:test.local":\{"ts":\d+\}\}/)
})

test('who says something has read what was said before, where they say it', async () => {
  const { roomId, say } = await setUp()
  const root = await say('root')
  const inThread = { rel_type: 'm.thread', event_id: root }
  await say('for bob', inThread)
  await say('for bob')
  expect(await counts(roomId)).toEqual({ room: [3, 2], main: [2, 1], threads: { [root]: [1, 1] } })
  await bob.setState(roomId, 'm.room.member', { membership: 'join', displayname: 'Bob' }, bob.userId)
  expect(await counts(roomId)).toMatchObject({ room: [3, 2] })
  await bob.send(roomId, { msgtype: 'm.text', body: 'here' })
  expect(await counts(roomId)).toEqual({ room: [1, 1], main: [0, 0], threads: { [root]: [1, 1] } })
  await say('more')
  await bob.send(roomId, { msgtype: 'm.text', body: 'there', 'm.relates_to': inThread })
  expect(await counts(roomId)).toEqual({ room: [1, 0], main: [1, 0], threads: {} })
  // That is nobody else's business, and no receipt.
  const { rooms } = await alice.done('GET', '/sync')
  expect(JSON.stringify((rooms as { join: JsonObject }).join[roomId])).not.toContain('m.receipt')
  expect(JSON.stringify(await bob.done('GET', '/sync'))).not.toContain('"own"')
})
