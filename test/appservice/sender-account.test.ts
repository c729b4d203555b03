// The sender of an application service that has made no request yet. Application service API, "Registration".

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startAppservice, type TestAppservice } from '../support/appservice.ts'
import { newClient, type RoomClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'

let bridge: TestAppservice
let server: TestServer
let alice: RoomClient
beforeAll(async () => {
  bridge = await startAppservice('bridge')
  server = await startServer({ vars: bridge.vars() })
  alice = await newClient(server, 'alice')
})
afterAll(async () => {
  await server.stop()
  await bridge.stop()
})

const sender = '@_bridge_bot:test.local'

describe('a sender that made no request yet', () => {
  it('is invited like anybody, joins, and nobody is asked for it', async () => {
    const roomId = await alice.createRoom({ invite: [sender] })
    expect(await alice.state(roomId, 'm.room.member', sender)).toMatchObject({ membership: 'invite' })
    const token = bridge.asToken
    const joined = await server.request('POST', `/_matrix/client/v3/join/${roomId}`, { token, body: {} })
    expect(joined.status).toBe(200)
    expect(await alice.state(roomId, 'm.room.member', sender)).toMatchObject({ membership: 'join' })
    expect(bridge.requests.filter(({ path }) => path.includes('/users/'))).toEqual([])
  })

  it('has one account, however many come first at once', async () => {
    const rooms = await Promise.all([1, 2, 3].map(() => alice.createRoom({ invite: [sender] })))
    expect(rooms).toHaveLength(3)
    const db = await server.mf.getD1Database('DB')
    const users = await db.prepare('SELECT user_id FROM users WHERE user_id = ?').bind(sender).all()
    expect(users.results).toEqual([{ user_id: sender }])
  })
})
