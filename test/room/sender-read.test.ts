// What the FederationSender asks of a room. The tests share a server; each has a room of its own.

import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ServerName } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { type AskingServer, askingServer } from '../support/asking-server.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let one: AskingServer
let two: AskingServer
let alice: RoomClient

beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  one = await askingServer(server, 'one.test')
  two = await askingServer(server, 'two.test')
})
afterAll(() => server.stop())

async function newRoom() {
  const roomId = await alice.createRoom({ preset: 'public_chat', room_version: '4' })
  const room = await server.room(roomId)
  return {
    roomId,
    room,
    say: (body: string) => alice.send(roomId, { msgtype: 'm.text', body }),
    newestFor: async (name: ServerName, from = 1) =>
      (await room.newestFor(name, from)).map((text) => contentOf(JSON.parse(text) as JsonObject)),
  }
}

function contentOf({ content }: JsonObject): unknown {
  const { body, membership } = content as JsonObject
  return body ?? membership
}

it('events come in the order asked for, without what is of this server alone; null where there is none', async () => {
  const { room, say } = await newRoom()
  const first = await say('first')
  const second = await say('second')
  const texts = await room.pduTexts([second, '$nothing', first])
  const [newer, nothing, older] = texts.map((text) => text && (JSON.parse(text) as JsonObject))
  expect(nothing).toBeNull()
  expect(older).toMatchObject({ content: { body: 'first' } })
  expect(newer).toMatchObject({ content: { body: 'second' }, signatures: { 'test.local': {} } })
  expect(newer).not.toHaveProperty('unsigned')
})

it('a room that is not here has nothing, and is not made by asking', async () => {
  const room = await server.room('!nowhere:test.local')
  expect(await room.pduTexts(['$a'])).toEqual([null])
  expect(await room.newestFor('one.test' as ServerName, 1)).toEqual([])
})

it('a server in the room has missed the newest event', async () => {
  const { roomId, say, newestFor } = await newRoom()
  await one.join(roomId, one.user('bob'))
  await say('old')
  await say('new')
  expect(await newestFor(one.serverName)).toEqual(['new'])
  expect(await newestFor(two.serverName)).toEqual([])
})

it('where others have spoken since, it has missed the newest of ours', async () => {
  const { roomId, say, newestFor } = await newRoom()
  await one.join(roomId, one.user('bob'))
  await say('ours')
  await two.join(roomId, two.user('carol'))
  // The join came in by us, so that it is for us to send.
  expect(await newestFor(one.serverName)).toEqual(['join'])
  // What two has brought itself, it knows.
  expect(await newestFor(two.serverName)).not.toContain('ours')
})

it('a server that was removed has missed its removal, and nothing after it', async () => {
  const { roomId, say, newestFor } = await newRoom()
  const bob = one.user('bob')
  await one.join(roomId, bob)
  await say('before')
  await alice.act('ban', roomId, bob)
  await say('after')
  expect(await newestFor(one.serverName)).toEqual(['ban'])
})

it('nothing was missed before the position asked for', async () => {
  const { roomId, say, newestFor } = await newRoom()
  await one.join(roomId, one.user('bob'))
  await say('seen')
  expect(await newestFor(one.serverName, 1000)).toEqual([])
})

it('a ban of somebody who never had to do with the room is for its members alone', async () => {
  const { roomId, say, newestFor } = await newRoom()
  await one.join(roomId, one.user('bob'))
  await alice.act('ban', roomId, two.user('mallory'))
  expect(await newestFor(two.serverName)).toEqual([])
  await alice.act('unban', roomId, two.user('mallory'))
  expect(await newestFor(two.serverName)).toEqual([])
  await say('later')
  expect(await newestFor(one.serverName)).toEqual(['later'])
})
