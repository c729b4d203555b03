// One of the servers goes away while the other goes on, and catches up when it is back.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../../src/matrix/json.ts'
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

/** Longer than a server leaves another one alone after it could not be reached: ours a minute and a tenth. */
const catchingUp = 150_000
const timeout = 400_000

const text = (body: string) => ({ msgtype: 'm.text', body })
const idsOf = (events: readonly JsonObject[]) => events.map((event) => textOf(event, 'event_id'))

/** A room that both are in. */
async function sharedRoom(host: RoomClient): Promise<string> {
  const [guest, server] = host === alice ? [bob, pair.hearth] : [alice, pair.synapse]
  const roomId = await host.createRoom({
    preset: 'public_chat',
    // Everybody may name it.
    power_level_content_override: { events: { 'm.room.name': 0 } },
  })
  await joinVia(guest, roomId, server)
  await sees(host, roomId, guest, 'join')
  await agree(alice, bob, roomId)
  return roomId
}

/** Messages, and a name for the room with the last of them. Gives the ids of the messages. */
async function goOn(user: RoomClient, roomId: string, count: number, name: string): Promise<string[]> {
  const sent: string[] = []
  for (let index = 0; index < count; index += 1) {
    sent.push(await user.send(roomId, text(`meanwhile ${index}`)))
    if (index === count >> 1) {
      expect(await user.setState(roomId, 'm.room.name', { name })).toMatchObject({ status: 200 })
    }
  }
  return sent
}

/** What `run` gives, done while Synapse is stopped. */
async function withoutSynapse<T>(run: () => Promise<T>): Promise<T> {
  await pair.synapse.stop()
  return await run().finally(() => pair.synapse.restart())
}

/** What `run` gives, done after our server was killed and before it is started again. */
async function withoutHearth<T>(run: () => Promise<T>): Promise<T> {
  await pair.hearth.kill()
  return await run().finally(() => pair.hearth.restart())
}

/** Waits until a user has all of these events in the history of the room, in this order. */
async function caughtUp(user: RoomClient, roomId: string, sent: readonly string[]): Promise<void> {
  const wanted = new Set(sent)
  const seen = await eventually(
    `${user.userId} to catch up`,
    async () => {
      const ids = idsOf(await history(user, roomId, 100)).filter((id) => wanted.has(id))
      return ids.length === sent.length ? ids : undefined
    },
    catchingUp,
  )
  expect(seen.reverse()).toEqual(sent)
}

describe('Synapse is stopped for a while', () => {
  it('and gets what it missed, without anybody there saying a word', { timeout }, async () => {
    const roomId = await sharedRoom(alice)
    const sent = await withoutSynapse(() => goOn(alice, roomId, 10, 'Without Synapse'))
    await caughtUp(bob, roomId, sent)
    await agree(alice, bob, roomId)
  })

  it(
    'and gets it as soon as somebody there speaks, more than one transaction of it',
    { timeout },
    async () => {
      const roomId = await sharedRoom(bob)
      const sent = await withoutSynapse(() => goOn(alice, roomId, 60, 'Long without Synapse'))
      const back = await bob.send(roomId, text('I am back'))
      await received(alice, roomId, back, catchingUp)
      await caughtUp(bob, roomId, sent)
      await agree(alice, bob, roomId)
    },
  )
})

describe('our server is killed', () => {
  it.each([
    ['one of ours', () => alice],
    ['one of Synapse', () => bob],
  ])('and gets what it missed in a room that is %s', { timeout }, async (_, host) => {
    const roomId = await sharedRoom(host())
    const sent = await withoutHearth(() => goOn(bob, roomId, 60, 'Without us'))
    await caughtUp(alice, roomId, sent)
    await agree(alice, bob, roomId)
  })

  it('and what it had promised to send arrives', { timeout }, async () => {
    const roomId = await sharedRoom(bob)
    const sent = await Promise.all(
      Array.from({ length: 30 }, (_, index) => alice.send(roomId, text(`last ${index}`))),
    )
    await withoutHearth(() => Promise.resolve())
    await eventually(
      'all that was acknowledged',
      async () => {
        const seen = new Set(idsOf(await history(bob, roomId, 100)))
        return sent.every((eventId) => seen.has(eventId)) || undefined
      },
      catchingUp,
    )
    await agree(alice, bob, roomId)
  })

  it('and both go on in several rooms as soon as it is back, and agree in the end', { timeout }, async () => {
    const rooms = [await sharedRoom(alice), await sharedRoom(bob), await sharedRoom(alice)]
    const missed = await withoutHearth(() =>
      Promise.all(rooms.map((roomId) => goOn(bob, roomId, 20, 'Without us'))),
    )
    for (const roomId of rooms) await alice.send(roomId, text('I am back'))
    for (const [index, roomId] of rooms.entries()) {
      await caughtUp(alice, roomId, missed[index] ?? [])
      await received(alice, roomId, await bob.send(roomId, text('Welcome')), catchingUp)
      await received(bob, roomId, await alice.send(roomId, text('Thank you')), catchingUp)
      await agree(alice, bob, roomId)
    }
  })
})
