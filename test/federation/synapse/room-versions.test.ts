// Rooms of each version that is in use, made by either server and joined from the other.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newClient, type RoomClient } from '../../support/room-client.ts'
import { textOf } from '../../support/text-of.ts'
import { agree, eventually, history, joinVia, type Pair, received, sees, startPair } from './pair.ts'

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

const sides = [
  ['ours', 'Synapse', () => [alice, bob, pair.hearth] as const],
  ['Synapse', 'ours', () => [bob, alice, pair.synapse] as const],
] as const

describe.each(sides)('a room made on %s', (_, other, people) => {
  it.each(['10', '11', '12'])(`of version %s is joined from ${other} and talked in`, async (version) => {
    const [creator, guest, server] = people()
    const roomId = await creator.createRoom({
      room_version: version,
      preset: 'public_chat',
      name: `Version ${version}`,
    })
    const before = await creator.send(roomId, { msgtype: 'm.text', body: 'before' })
    await joinVia(guest, roomId, server)
    await sees(creator, roomId, guest, 'join')

    const question = await creator.send(roomId, { msgtype: 'm.text', body: 'Is the fire lit?' })
    expect(await received(guest, roomId, question)).toMatchObject({ content: { body: 'Is the fire lit?' } })
    const reply = await guest.send(roomId, { msgtype: 'm.text', body: 'It is.' })
    expect(await received(creator, roomId, reply)).toMatchObject({ content: { body: 'It is.' } })

    await agree(creator, guest, roomId)
    const ids = async (user: RoomClient) => (await history(user, roomId)).map((event) => event['event_id'])
    expect(await ids(guest)).toEqual(await ids(creator))
    expect(await ids(guest)).toContain(before)
  })

  it.each([
    ['10', '11'],
    ['11', '12'],
    ['12', '12'],
  ])(`is upgraded from version %s to %s, and followed from ${other}`, async (from, to) => {
    const [creator, guest, server] = people()
    const roomId = await creator.createRoom({ preset: 'public_chat', name: 'Moving', room_version: from })
    await joinVia(guest, roomId, server)
    await sees(creator, roomId, guest, 'join')
    const upgraded = await creator.inRoom('POST', roomId, 'upgrade', { new_version: to })
    expect(upgraded.status, JSON.stringify(upgraded.body)).toBe(200)
    const replacement = textOf(upgraded.body, 'replacement_room')
    const tombstone = await eventually('the tombstone', () => guest.state(roomId, 'm.room.tombstone'))
    expect(tombstone).toMatchObject({ replacement_room: replacement })
    await joinVia(guest, replacement, server)
    await sees(creator, replacement, guest, 'join')
    expect(await guest.state(replacement, 'm.room.name')).toEqual({ name: 'Moving' })
    expect(await guest.state(replacement, 'm.room.create')).toMatchObject({
      room_version: to,
      predecessor: { room_id: roomId },
    })
    await agree(creator, guest, roomId)
    await agree(creator, guest, replacement)
  })
})
