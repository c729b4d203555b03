// Without application services there are no third-party networks.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { newClient, refusal, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let server: TestServer
let alice: RoomClient
beforeAll(async () => {
  server = await startServer()
  alice = await newClient(server, 'alice')
})
afterAll(() => server.stop())

test('there are no protocols, users and locations', async () => {
  expect(await alice.call('GET', '/thirdparty/protocols')).toMatchObject({ status: 200, body: {} })
  for (const path of [
    'protocol/irc',
    'location/irc',
    'user/irc',
    'location?alias=%23a:b',
    'user?userid=@a:b',
  ]) {
    expect(await alice.call('GET', `/thirdparty/${path}`), path).toEqual(refusal(404, 'M_NOT_FOUND'))
  }
  for (const path of ['location', 'user']) {
    expect(await alice.call('GET', `/thirdparty/${path}`), path).toEqual(refusal(400, 'M_MISSING_PARAM'))
  }
  expect((await server.request('GET', '/_matrix/client/v3/thirdparty/protocols')).status).toBe(401)
})
