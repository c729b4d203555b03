// A new name reaches all rooms of its owner, and who is deactivated leaves all of them: some before the answer, the others in
// the background, through crashes.
// Specification: client-server API, "Events on Change of Profile Information", "Account deactivation".

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { newClient, type RoomClient, roomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let dataDir: string
let server: TestServer
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'hearth-profile-'))
  server = await startServer({ dataDir })
})
afterEach(async () => {
  await server.stop()
  await rm(dataDir, { recursive: true, force: true })
})

const manyRooms = 60

async function rooms(alice: RoomClient, count: number): Promise<string[]> {
  const made: string[] = []
  while (made.length < count) {
    const some = Math.min(10, count - made.length)
    made.push(...(await Promise.all(Array.from({ length: some }, () => alice.createRoom()))))
  }
  return made
}

async function namesIn(alice: RoomClient, roomIds: readonly string[]): Promise<unknown[]> {
  const names: unknown[] = []
  for (const roomId of roomIds) {
    names.push((await alice.state(roomId, 'm.room.member', alice.userId))?.['displayname'])
  }
  return names
}

const setName = (alice: RoomClient, displayname: string) =>
  alice.done('PUT', `/profile/${alice.userId}/displayname`, { displayname })

it('a name that is set in many rooms is in all of them in the end, although the server crashes in the middle', async () => {
  const alice = await newClient(server, 'alice')
  const roomIds = await rooms(alice, manyRooms)
  await setName(alice, 'Alice')
  // Not all of them have it yet.
  await server.kill()
  server = await startServer({ dataDir })
  const again = roomClient(server, alice)
  await expect.poll(async () => new Set(await namesIn(again, roomIds))).toEqual(new Set(['Alice']))
})

it('of two names set one after the other the later one is in all rooms in the end', async () => {
  const alice = await newClient(server, 'alice')
  const roomIds = await rooms(alice, manyRooms)
  await Promise.all([setName(alice, 'First'), setName(alice, 'Second'), setName(alice, 'Third')])
  const { displayname } = await alice.done('GET', `/profile/${alice.userId}`)
  await expect.poll(async () => new Set(await namesIn(alice, roomIds))).toEqual(new Set([displayname]))
  await setName(alice, 'Last')
  await expect.poll(async () => new Set(await namesIn(alice, roomIds))).toEqual(new Set(['Last']))
})

it('who is deactivated is out of all rooms in the end, although the server crashes in the middle', async () => {
  const [alice, bob] = [await newClient(server, 'alice'), await newClient(server, 'bob')]
  const roomIds = await rooms(alice, 30)
  const shared: string[] = []
  for (const roomId of roomIds) {
    await alice.act('invite', roomId, bob.userId)
    // Invites end as well.
    if (shared.push(roomId) % 3 !== 0) await bob.join(roomId)
  }
  await bob.done('POST', '/account/deactivate', {
    auth: {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: 'bob' },
      password: 'password of bob',
    },
  })
  await server.kill()
  server = await startServer({ dataDir })
  const again = roomClient(server, alice)
  const memberships = async () => {
    const found = new Set<unknown>()
    for (const roomId of roomIds)
      found.add((await again.state(roomId, 'm.room.member', bob.userId))?.['membership'])
    return [...found]
  }
  await expect.poll(memberships).toEqual(['leave'])
  // Nobody else has gone.
  expect(await again.state(roomIds.at(-1) ?? '', 'm.room.member', alice.userId)).toMatchObject({
    membership: 'join',
  })
})
