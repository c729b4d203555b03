// What ignored users say is kept from whom they are ignored by, wherever events are read; what is state is not.
// Specification: client-server API, "Ignoring Users".

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { textOf } from '../support/text-of.ts'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
let carol: RoomClient
let roomId: string
let since: string
let said: string
let middle: string
const ignore = (ignored: JsonObject) =>
  alice.done('PUT', `/user/${alice.userId}/account_data/m.ignored_user_list`, { ignored_users: ignored })

beforeAll(async () => {
  server = await startServer()
  ;[alice, bob, carol] = (await Promise.all(
    ['alice', 'bob', 'carol'].map((localpart) => newClient(server, localpart)),
  )) as [RoomClient, RoomClient, RoomClient]
  roomId = await alice.createRoom({
    preset: 'public_chat',
    power_level_content_override: { state_default: 0 },
  })
  await bob.join(roomId)
  await carol.join(roomId)
  await ignore({ [bob.userId]: {} })
  since = textOf(await alice.done('GET', '/sync'), 'next_batch')
  said = await bob.send(roomId, { msgtype: 'm.text', body: 'pear of Bob' })
  middle = await carol.send(roomId, { msgtype: 'm.text', body: 'pear of Carol' })
  await bob.setState(roomId, 'm.room.topic', { topic: 'pear of Bob, but state' })
  await bob.send(roomId, { msgtype: 'm.text', body: 'another pear of Bob' })
})
afterAll(() => server.stop())

/** Whether text has what Bob has set, and what he has said. */
const has = (answer: unknown) => {
  const text = JSON.stringify(answer)
  return {
    state: text.includes('but state'),
    said: /pear of Bob"/.test(text),
    carol: text.includes('of Carol'),
  }
}
const stateAlone = { state: true, said: false, carol: true }
const inRoom = async (path: string) => (await alice.inRoom('GET', roomId, path)).body

test('syncs of both kinds', async () => {
  expect(has(await alice.done('GET', `/sync?since=${since}`))).toEqual(stateAlone)
  expect(has(await alice.done('GET', '/sync'))).toEqual(stateAlone)
  const lists = { all: { ranges: [[0, 9]], timeline_limit: 10, required_state: [['m.room.topic', '']] } }
  const path = '/../unstable/org.matrix.simplified_msc3575/sync'
  expect(has(await alice.done('POST', path, { conn_id: 'c', lists }))).toEqual(stateAlone)
})

test('pages of the timeline, in both directions and to their end', async () => {
  for (const dir of ['b', 'f']) {
    expect(has(await inRoom(`messages?dir=${dir}&limit=50`)), dir).toEqual(stateAlone)
    const chunks: unknown[] = []
    let from = ''
    for (let pages = 0; pages < 50; pages++) {
      const page = await inRoom(`messages?dir=${dir}&limit=1${from}`)
      chunks.push(page['chunk'])
      if (page['end'] === undefined) break
      from = `&from=${textOf(page, 'end')}`
    }
    expect(has(chunks), `${dir} one by one`).toEqual(stateAlone)
  }
})

test('what stands around an event, and what a search finds', async () => {
  expect(has(await inRoom(`context/${encodeURIComponent(middle)}?limit=20`))).toEqual(stateAlone)
  const search = (keys: string[]) => ({
    search_categories: {
      room_events: { search_term: 'pear', keys, event_context: { before_limit: 5, after_limit: 5 } },
    },
  })
  expect(has(await alice.done('POST', '/search', search(['content.body'])))).toEqual(stateAlone)
  const { search_categories: found } = await alice.done('POST', '/search', search(['content.body']))
  expect(found).toMatchObject({ room_events: { count: 1 } })
})

test('the events of before /sync, and the list of notifications', async () => {
  expect(has(await inRoom('initialSync?limit=20'))).toEqual(stateAlone)
  expect(
    has(await alice.done('GET', `/events?room_id=${encodeURIComponent(roomId)}&from=${since}&timeout=0`)),
  ).toEqual(stateAlone)
  expect(has(await alice.done('GET', '/notifications'))).toMatchObject({ said: false, carol: true })
})

test('an event is there for those who ask for it by its id, and all of it when the user is ignored no more', async () => {
  expect(has((await alice.event(roomId, said)).body).said).toBe(true)
  await ignore({})
  expect(has(await inRoom('messages?dir=b&limit=50')).said).toBe(true)
  // What was said meanwhile is not told by syncs that go on.
  expect(
    has(await alice.done('GET', `/sync?since=${textOf(await alice.done('GET', '/sync'), 'next_batch')}`))
      .said,
  ).toBe(false)
  expect(has(await alice.done('GET', '/sync')).said).toBe(true)
})
