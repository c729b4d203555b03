// Restricted rooms: who is in another room may come in, vouched for by a server that has somebody in both.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newClient, type RoomClient } from '../../support/room-client.ts'
import {
  agree,
  enter,
  eventually,
  joinVia,
  type Pair,
  sees,
  type Server,
  startPair,
  stranger,
} from './pair.ts'

let pair: Pair
/** On our server. */
let alice: RoomClient
/** On Synapse. */
let bob: RoomClient
beforeAll(async () => {
  pair = await startPair()
  alice = await newClient(pair.hearth, 'alice')
  bob = await newClient(pair.synapse, 'bob')
})
afterAll(() => pair?.stop())

describe.each([
  ['our server', () => [alice, bob, pair.hearth, pair.synapse] as const],
  ['Synapse', () => [bob, alice, pair.synapse, pair.hearth] as const],
])('a restricted room on %s', (_, sides) => {
  let host: RoomClient
  let guest: RoomClient
  let server: Server
  let guestServer: Server
  beforeAll(() => {
    ;[host, guest, server, guestServer] = sides()
  })

  describe.each(['10', '11', '12'])('of version %s', (version) => {
    async function restricted(): Promise<{ club: string; roomId: string }> {
      const club = await host.createRoom({ preset: 'public_chat', name: 'Club', room_version: version })
      const rule = { join_rule: 'restricted', allow: [{ type: 'm.room_membership', room_id: club }] }
      const roomId = await host.createRoom({
        preset: 'private_chat',
        room_version: version,
        initial_state: [{ type: 'm.room.join_rules', state_key: '', content: rule }],
      })
      return { club, roomId }
    }

    const authorised = { join_authorised_via_users_server: expect.any(String) }

    it('lets in members of the room that it names, and nobody else', async () => {
      const { club, roomId } = await restricted()
      expect(await enter(guest, 'join', roomId, server)).toMatchObject({
        status: 403,
        body: { errcode: 'M_FORBIDDEN' },
      })
      await joinVia(guest, club, server)
      await joinVia(guest, roomId, server)
      await sees(host, roomId, guest, 'join')
      expect(await host.state(roomId, 'm.room.member', guest.userId)).toMatchObject(authorised)
      await agree(host, guest, roomId)
    })

    it('lets in members on a server that is there already, without anybody who may invite', async () => {
      const { club, roomId } = await restricted()
      for (const room of [club, roomId]) await joinVia(guest, room, server)
      await sees(host, roomId, guest, 'join')
      const levels = await host.state(roomId, 'm.room.power_levels')
      const stricter = await host.setState(roomId, 'm.room.power_levels', { ...levels, invite: 50 })
      expect(stricter).toMatchObject({ status: 200 })
      await eventually('the power levels', async () => {
        const seen = await guest.state(roomId, 'm.room.power_levels')
        return seen?.['invite'] === 50 || undefined
      })
      const friend = await stranger(guestServer)
      for (const room of [club, roomId]) {
        await joinVia(friend, room, server)
        await sees(host, room, friend, 'join')
      }
      expect(await host.state(roomId, 'm.room.member', friend.userId)).toMatchObject({
        join_authorised_via_users_server: host.userId,
      })
      await agree(host, guest, roomId)
    })
  })
})
