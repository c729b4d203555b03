// Who is in a room: users of either server come into rooms of the other, are sent away, and come back.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { newClient, refusal, type RoomClient } from '../../support/room-client.ts'
import {
  agree,
  enter,
  eventually,
  history,
  joinVia,
  type Pair,
  sees,
  type Server,
  startPair,
  stranger,
  synced,
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

const locked = {
  preset: 'private_chat',
  name: 'Locked',
  initial_state: [{ type: 'm.room.join_rules', state_key: '', content: { join_rule: 'knock' } }],
}

describe.each([
  ['our server', () => [alice, bob, pair.hearth] as const],
  ['Synapse', () => [bob, alice, pair.synapse] as const],
])('of a room on %s, a user of the other server', (_, sides) => {
  let host: RoomClient
  let guest: RoomClient
  let server: Server
  beforeAll(() => {
    ;[host, guest, server] = sides()
  })

  /** Joins or knocks through the server of the room. */
  const call = (action: 'join' | 'knock', roomId: string, body: JsonObject = {}) =>
    enter(guest, action, roomId, server, body)

  /** Waits until an invite reaches the guest, and gives what it shows of the room. */
  const invited = (roomId: string) =>
    eventually('the invite', async () => (await synced(guest, 'invite', roomId))?.invite_state?.events)

  async function invite(options: JsonObject = {}): Promise<string> {
    const roomId = await host.createRoom({ preset: 'private_chat', ...options })
    expect(await host.act('invite', roomId, guest.userId)).toMatchObject({ status: 200 })
    await invited(roomId)
    return roomId
  }

  async function join(roomId: string): Promise<void> {
    expect(await call('join', roomId)).toMatchObject({ status: 200 })
    await sees(host, roomId, guest, 'join')
  }

  it('is invited, is shown what the room is, and joins', async () => {
    const roomId = await host.createRoom({ preset: 'private_chat', name: 'Kitchen' })
    expect(await host.act('invite', roomId, guest.userId)).toMatchObject({ status: 200 })
    const shown = await invited(roomId)
    expect(shown).toContainEqual(
      expect.objectContaining({ type: 'm.room.name', content: { name: 'Kitchen' } }),
    )
    expect(shown).toContainEqual(
      expect.objectContaining({ type: 'm.room.member', sender: host.userId, state_key: guest.userId }),
    )
    await join(roomId)
    await agree(host, guest, roomId)
  })

  it('is invited while the room is made, as somebody to talk to directly', async () => {
    const roomId = await host.createRoom({
      preset: 'trusted_private_chat',
      invite: [guest.userId],
      is_direct: true,
    })
    const shown = await invited(roomId)
    expect(shown.find((event) => event['state_key'] === guest.userId)).toMatchObject({
      content: { is_direct: true },
    })
    await join(roomId)
    await agree(host, guest, roomId)
  })

  it('turns an invite down', async () => {
    const roomId = await invite()
    expect(await guest.leave(roomId)).toMatchObject({ status: 200 })
    await sees(host, roomId, guest, 'leave')
    expect(await synced(guest, 'invite', roomId)).toBeUndefined()
  })

  it('sees an invite taken back, and cannot join any more', async () => {
    const roomId = await invite()
    expect(await host.act('kick', roomId, guest.userId)).toMatchObject({ status: 200 })
    await eventually(
      'the invite to go',
      async () => (await synced(guest, 'invite', roomId)) === undefined || undefined,
    )
    expect(await call('join', roomId)).toEqual(refusal(403, 'M_FORBIDDEN'))
  })

  it('invites a third, from the server of the room', async () => {
    const third = await stranger(server)
    const roomId = await invite()
    await join(roomId)
    expect(await guest.act('invite', roomId, third.userId)).toMatchObject({ status: 200 })
    await eventually('the invite', () => synced(third, 'invite', roomId))
    await joinVia(third, roomId, server)
    await sees(guest, roomId, third, 'join')
    await agree(host, guest, roomId)
  })

  it('leaves, and comes back', async () => {
    const roomId = await host.createRoom({ preset: 'public_chat' })
    await join(roomId)
    expect(await guest.leave(roomId, { reason: 'late' })).toMatchObject({ status: 200 })
    await sees(host, roomId, guest, 'leave')
    const missed = await host.send(roomId, { msgtype: 'm.text', body: 'Gone?' })
    await join(roomId)
    expect((await history(guest, roomId)).map((event) => event['event_id'])).toContain(missed)
    await agree(host, guest, roomId)
  })

  it('is kicked, and comes back when invited', async () => {
    const roomId = await invite()
    await join(roomId)
    expect(await host.act('kick', roomId, guest.userId, { reason: 'noise' })).toMatchObject({ status: 200 })
    const left = await eventually('the kick', () => synced(guest, 'leave', roomId))
    expect(left.timeline?.events.at(-1)).toMatchObject({
      type: 'm.room.member',
      state_key: guest.userId,
      content: { membership: 'leave', reason: 'noise' },
    })
    expect(await guest.inRoom('PUT', roomId, 'send/m.room.message/after', { body: '' })).toEqual(
      refusal(403, 'M_FORBIDDEN'),
    )
    expect(await host.act('invite', roomId, guest.userId)).toMatchObject({ status: 200 })
    await invited(roomId)
    await join(roomId)
    await agree(host, guest, roomId)
  })

  it('is banned, cannot join, and can again once the ban is lifted', async () => {
    const roomId = await host.createRoom({ preset: 'public_chat' })
    await join(roomId)
    expect(await host.act('ban', roomId, guest.userId)).toMatchObject({ status: 200 })
    await eventually('the ban', () => synced(guest, 'leave', roomId))
    expect(await call('join', roomId)).toEqual(refusal(403, 'M_FORBIDDEN'))
    expect(await host.act('unban', roomId, guest.userId)).toMatchObject({ status: 200 })
    await join(roomId)
    await agree(host, guest, roomId)
  })

  it('with power kicks and bans users of the server of the room', async () => {
    const [kicked, banned] = [await stranger(server), await stranger(server)]
    const roomId = await host.createRoom({
      preset: 'public_chat',
      power_level_content_override: { users: { [guest.userId]: 50, [host.userId]: 100 } },
      room_version: '11',
    })
    for (const user of [kicked, banned]) await joinVia(user, roomId, server)
    await join(roomId)
    expect(await guest.act('kick', roomId, kicked.userId)).toMatchObject({ status: 200 })
    expect(await guest.act('ban', roomId, banned.userId)).toMatchObject({ status: 200 })
    await sees(host, roomId, kicked, 'leave')
    await sees(host, roomId, banned, 'ban')
    expect(await kicked.join(roomId)).toMatchObject({ status: 200 })
    expect(await banned.join(roomId)).toMatchObject({ status: 403 })
    await sees(guest, roomId, kicked, 'join')
    await agree(host, guest, roomId)
  })

  describe('knocks', () => {
    async function knock(): Promise<string> {
      const roomId = await host.createRoom(locked)
      expect(await call('knock', roomId, { reason: 'cold' })).toMatchObject({ status: 200 })
      await sees(host, roomId, guest, 'knock')
      expect(await host.state(roomId, 'm.room.member', guest.userId)).toMatchObject({ reason: 'cold' })
      const shown = await eventually('the own knock', () => synced(guest, 'knock', roomId))
      expect(shown.knock_state?.events).toContainEqual(
        expect.objectContaining({ type: 'm.room.name', content: { name: 'Locked' } }),
      )
      return roomId
    }

    it('and is let in', async () => {
      const roomId = await knock()
      expect(await host.act('invite', roomId, guest.userId)).toMatchObject({ status: 200 })
      await invited(roomId)
      await join(roomId)
      await agree(host, guest, roomId)
    })

    // Synapse tells the server of who knocked nothing of that, and believes nothing of that.
    it('and is turned down, and knocks again', async () => {
      const roomId = await knock()
      expect(await host.act('kick', roomId, guest.userId)).toMatchObject({ status: 200 })
      await sees(host, roomId, guest, 'leave')
      expect(await call('knock', roomId)).toMatchObject({ status: 200 })
      await sees(host, roomId, guest, 'knock')
    })
  })
})

// Synapse keeps to itself that a user of its own has done so.
it('a user of our server takes a knock back', async () => {
  const roomId = await bob.createRoom(locked)
  expect(await enter(alice, 'knock', roomId, pair.synapse)).toMatchObject({ status: 200 })
  await sees(bob, roomId, alice, 'knock')
  expect(await alice.leave(roomId)).toMatchObject({ status: 200 })
  await sees(bob, roomId, alice, 'leave')
})
