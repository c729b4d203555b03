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

  it.each(['10', '11', '12'])(
    'of version %s comes to one state when both change it at once',
    async (version) => {
      const [creator, guest, server] = people()
      // Creators of version 12 rooms have more power than a number can say.
      const creators = version === '12' ? {} : { [creator.userId]: 100 }
      const roomId = await creator.createRoom({
        room_version: version,
        preset: 'public_chat',
        power_level_content_override: { users: { ...creators, [guest.userId]: 50 } },
      })
      await joinVia(guest, roomId, server)
      await sees(creator, roomId, guest, 'join')
      const levels = await creator.state(roomId, 'm.room.power_levels')
      const statuses: number[] = []
      for (let round = 0; round < 10; round += 1) {
        // Every other round the guest has no power, when that has come around.
        const users = { ...creators, [guest.userId]: round % 2 === 0 ? 0 : 50 }
        const answers = await Promise.all([
          creator.setState(roomId, 'm.room.topic', { topic: `${round} of the creator` }),
          guest.setState(roomId, 'm.room.topic', { topic: `${round} of the guest` }),
          creator.setState(roomId, 'm.room.power_levels', { ...levels, users }),
          guest.setState(roomId, 'm.room.name', { name: `Room ${round}` }),
        ])
        statuses.push(...answers.map(({ status }) => status))
      }
      expect(statuses.filter((status) => status !== 200 && status !== 403)).toEqual([])
      // What one of them came not to believe is settled by what comes after it, with all that is there as its parents.
      for (const body of ['Settled?', 'Settled.']) {
        await received(guest, roomId, await creator.send(roomId, { msgtype: 'm.text', body }))
        await received(creator, roomId, await guest.send(roomId, { msgtype: 'm.text', body }))
      }
      await agree(creator, guest, roomId)
    },
  )

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
