// The summary of a room in D1: written when it changes, and only then.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let alice: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
})
afterAll(() => server.stop())

interface Row {
  name: string | null
  published: number
  position: number
  joined_members: number
}

async function row(roomId: string): Promise<Row | null> {
  const db = await server.mf.getD1Database('DB')
  return await db.prepare('SELECT * FROM rooms WHERE room_id = ?').bind(roomId).first<Row>()
}

it('A room is known to D1 when it is made', async () => {
  const roomId = await alice.createRoom({ name: 'New' })
  expect(await row(roomId)).toMatchObject({ name: 'New', published: 0, joined_members: 1 })
})

it('A published room tells D1 at once what changed, and nothing about messages and profiles', async () => {
  const roomId = await alice.createRoom({ name: 'One', visibility: 'public' })
  await alice.setState(roomId, 'm.room.name', { name: 'Two' })
  const written = await row(roomId)
  expect(written).toMatchObject({ name: 'Two', published: 1 })
  await alice.send(roomId, { body: 'hello' })
  await alice.done('PUT', `/profile/${alice.userId}/displayname`, { displayname: 'Alice' })
  await alice.setState(roomId, 'org.example.other', { name: 'Three' })
  expect(await row(roomId)).toEqual(written)
})

it('Any other room tells it in its alarm', async () => {
  const roomId = await alice.createRoom({ name: 'One' })
  await alice.setState(roomId, 'm.room.name', { name: 'Two' })
  await alice.setState(roomId, 'm.room.name', { name: 'Three' })
  expect(await row(roomId)).toMatchObject({ name: 'One' })
  await expect.poll(() => row(roomId), { timeout: 25_000 }).toMatchObject({ name: 'Three', published: 0 })
})
