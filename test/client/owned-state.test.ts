// Rooms in which a user may have many pieces of state of one type, each keyed by their id and more (MSC3757).

import { afterAll, beforeAll, expect, it } from 'vitest'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

const type = 'org.example.location'

let server: TestServer
let alice: RoomClient
let bob: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
  bob = await newClient(server, 'bob')
})
afterAll(() => server.stop())

async function roomWithBob(version: string): Promise<string> {
  const roomId = await alice.createRoom({
    preset: 'public_chat',
    room_version: version,
    power_level_content_override: { events: { [type]: 0 } },
  })
  expect((await bob.join(roomId)).status).toBe(200)
  return roomId
}

const set = (user: RoomClient, roomId: string, stateKey: string) =>
  user.inRoom('PUT', roomId, `state/${type}/${encodeURIComponent(stateKey)}`, { from: user.userId })

for (const version of ['org.matrix.msc3757.10', 'org.matrix.msc3757.11']) {
  it(`MSC3757: devices of one user have state each in a room of version ${version}`, async () => {
    const roomId = await roomWithBob(version)
    for (const device of ['PHONE', 'LAPTOP']) {
      expect((await set(bob, roomId, `${bob.userId}_${device}`)).status).toBe(200)
    }
    expect(await alice.state(roomId, type, `${bob.userId}_PHONE`)).toEqual({ from: bob.userId })
    expect(await set(bob, roomId, `${alice.userId}_PHONE`)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect((await set(alice, roomId, `${bob.userId}_LAPTOP`)).status).toBe(200)
    expect(await bob.state(roomId, type, `${bob.userId}_LAPTOP`)).toEqual({ from: alice.userId })
    // No power would do for these.
    expect(await set(alice, roomId, '@bob')).toEqual(refusal(400, 'M_BAD_JSON'))
    expect(await set(alice, roomId, `${bob.userId}@PHONE`)).toEqual(refusal(400, 'M_BAD_JSON'))
  })
}

it('MSC3757: in rooms of other versions nobody has more state than one of a type', async () => {
  const roomId = await roomWithBob('11')
  expect((await set(bob, roomId, bob.userId)).status).toBe(200)
  expect(await set(bob, roomId, `${bob.userId}_PHONE`)).toEqual(refusal(403, 'M_FORBIDDEN'))
  expect(await set(alice, roomId, bob.userId)).toEqual(refusal(403, 'M_FORBIDDEN'))
})
