// The rooms that one shares with somebody.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { askingServer } from '../support/asking-server.ts'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let alice: RoomClient
beforeAll(async () => {
  server = await startServer({ vars: { HUB_SHARDS: '2' } })
  alice = await newClient(server, 'alice')
})
afterAll(() => server.stop())

const mutual = (userId: string, from = '') =>
  alice.call(
    'GET',
    `/../v1/mutual_rooms?user_id=${encodeURIComponent(userId)}${from && `&from=${encodeURIComponent(from)}`}`,
  )

test('are those that both are in now, whatever shard or server the other is of', async () => {
  const rooms = [
    await alice.createRoom({ preset: 'public_chat' }),
    await alice.createRoom({ preset: 'public_chat' }),
    await alice.createRoom({ preset: 'public_chat' }),
  ].sort()
  const [first = '', second = '', third = ''] = rooms
  const remote = await askingServer(server, 'remote.test')
  await remote.join(first, remote.user('bob'))
  await remote.join(second, remote.user('bob'))
  for (const name of ['carol', 'dave', 'erin']) {
    const user = await newClient(server, name)
    for (const roomId of rooms) await user.join(roomId)
    await user.leave(third)
    await user.createRoom()
    expect((await mutual(user.userId)).body).toEqual({ joined: [first, second], count: 2 })
  }
  expect((await mutual('@bob:remote.test')).body).toEqual({ joined: [first, second], count: 2 })
  expect((await mutual('@bob:remote.test', first)).body).toEqual({ joined: [second], count: 2 })
  expect((await mutual('@nobody:test.local')).body).toEqual({ joined: [], count: 0 })
})

test('are not asked of oneself, nor of what is no user, nor from a made-up place', async () => {
  const invalid = refusal(400, 'M_INVALID_PARAM')
  expect(await mutual(alice.userId)).toEqual(invalid)
  expect(await mutual('bob')).toEqual(invalid)
  expect(await mutual('@bob:remote.test', 'x')).toEqual(invalid)
  expect(await alice.call('GET', '/../v1/mutual_rooms')).toEqual(refusal(400, 'M_MISSING_PARAM'))
})
