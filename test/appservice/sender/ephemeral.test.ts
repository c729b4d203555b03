// What is ephemeral on its way to an application service. Specification: application service API, "Pushing ephemeral data".

import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { ReceiptEdu, TypingEdu } from '../../../src/appservice/sender/edus.ts'
import { tell } from '../../../src/appservice/sender/tell.ts'
import { tellPresence, tellRoomEdu } from '../../../src/appservice/sender/tell-edu.ts'
import type { PresenceContent } from '../../../src/hub/presence.ts'
import type { EventId, RoomId, UserId } from '../../../src/matrix/event.ts'
import {
  accept,
  alice,
  ann,
  minute,
  newWorld,
  roomA,
  roomB,
  second,
  unreachable,
  type World,
} from './fake-world.ts'

let world: World
beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
  world = newWorld()
  world.interested.set(roomA, true)
})

const types = (userId: UserId, fields: Partial<TypingEdu> = {}) =>
  world.call((sender) =>
    tellRoomEdu(sender, {
      type: 'm.typing',
      roomId: roomA,
      userId,
      typing: true,
      timeout: 30 * second,
      ...fields,
    }),
  )
const reads = (userId: UserId, eventId: string, fields: Partial<ReceiptEdu> = {}) =>
  world.call((sender) =>
    tellRoomEdu(sender, {
      type: 'm.receipt',
      roomId: roomA,
      userId,
      receipt: 'm.read',
      eventId: eventId as EventId,
      ts: 7,
      ...fields,
    }),
  )
const isShown = (userId: UserId, content: PresenceContent) =>
  world.call((sender) => tellPresence(sender, [{ userId, content }]))
const say = (position: number, roomId: RoomId = roomA) =>
  world.call((sender) =>
    tell(sender, roomId, { events: [{ position, text: `{"event_id":"$${position}"}` }], interested: true }),
  )
const got = () => world.sent.flatMap(({ ephemeral }) => ephemeral)
const typing = (...userIds: UserId[]) => ({
  type: 'm.typing',
  room_id: roomA,
  content: { user_ids: userIds },
})

/** Has it wait for an answer, so that what comes waits for the next transaction. */
async function whileBusy(run: () => Promise<void>): Promise<void> {
  let answer: (status: number) => void = () => undefined
  world.behave(() => new Promise((resolve) => (answer = resolve)))
  await say(1000)
  await run()
  world.behave(accept)
  answer(200)
  await world.pass(0)
}

describe('MSC2409: typing', () => {
  it('is told with all who type in the room, when that changes, for no row', async () => {
    await types(alice)
    await types(ann)
    await types(alice)
    await types(alice, { typing: false })
    await types(alice, { typing: false })
    expect(got()).toEqual([typing(alice), typing(alice, ann), typing(ann)])
    expect(world.sent.map(({ events }) => events)).toEqual([[], [], []])
    expect(world.rows()).toBe(0)
    expect(world.asked()).toBe(1)
  })

  it('ends when nothing more is heard of it', async () => {
    await types(alice)
    await world.pass(20 * second)
    await types(alice)
    await world.pass(20 * second)
    expect(got()).toEqual([typing(alice)])
    await world.pass(20 * second)
    expect(got()).toEqual([typing(alice), typing()])
  })

  it('that waits is told as it is then, once', async () => {
    await whileBusy(async () => {
      await types(alice)
      await types(ann)
      await types(alice, { typing: false })
    })
    expect(got()).toEqual([typing(ann)])
  })

  it('of rooms that it is not interested in is not told', async () => {
    expect(await types(alice, { roomId: roomB })).toBe(false)
    expect(got()).toEqual([])
    // What the room says of it counts from then on.
    await say(1, roomB)
    expect(await types(ann, { roomId: roomB })).toBe(true)
    expect(got()).toEqual([{ ...typing(ann), room_id: roomB }])
    await world.call((sender) => tell(sender, roomB, { events: [], interested: false }))
    expect(await types(alice, { roomId: roomB })).toBe(false)
    // After a while the room is asked again.
    world.interested.set(roomB, true)
    await world.pass(2 * minute)
    expect(await types(alice, { roomId: roomB })).toBe(true)
  })
})

describe('MSC2409: a receipt', () => {
  it('is told with its room, once', async () => {
    await reads(alice, '$1')
    await reads(alice, '$1', { ts: 8 })
    await reads(alice, '$2', { threadId: 'main' })
    expect(got()).toEqual([
      { type: 'm.receipt', room_id: roomA, content: { $1: { 'm.read': { [alice]: { ts: 7 } } } } },
      {
        type: 'm.receipt',
        room_id: roomA,
        content: { $2: { 'm.read': { [alice]: { ts: 7, thread_id: 'main' } } } },
      },
    ])
    expect(world.rows()).toBe(0)
  })

  it('that is private is told of those alone whom it looks after', async () => {
    await reads(alice, '$1', { receipt: 'm.read.private' })
    await reads(ann, '$1', { receipt: 'm.read.private' })
    expect(got()).toEqual([
      { type: 'm.receipt', room_id: roomA, content: { $1: { 'm.read.private': { [ann]: { ts: 7 } } } } },
    ])
  })

  it('that waits gives way to later ones of the same user, and goes with those of others', async () => {
    await whileBusy(async () => {
      await reads(alice, '$1')
      await reads(ann, '$1')
      await reads(alice, '$2')
      await reads(alice, '$2', { threadId: '$root' })
    })
    expect(got()).toEqual([
      {
        type: 'm.receipt',
        room_id: roomA,
        content: { $1: { 'm.read': { [ann]: { ts: 7 } } }, $2: { 'm.read': { [alice]: { ts: 7 } } } },
      },
    ])
  })
})

describe('MSC2409: presence', () => {
  it('is told when it changes, whoever tells it, with how long ago the user was active when it is sent', async () => {
    await isShown(alice, { presence: 'online', last_active_ago: 5, currently_active: true })
    await isShown(alice, { presence: 'online', last_active_ago: 6, currently_active: true })
    await isShown(alice, { presence: 'offline', last_active_ago: 7 })
    expect(got()).toEqual([
      {
        type: 'm.presence',
        sender: alice,
        content: { presence: 'online', last_active_ago: 5, currently_active: true },
      },
      { type: 'm.presence', sender: alice, content: { presence: 'offline', last_active_ago: 7 } },
    ])
  })

  it('grows old while it waits', async () => {
    await whileBusy(async () => {
      await isShown(alice, { presence: 'online', last_active_ago: 5, currently_active: true })
      await isShown(alice, { presence: 'unavailable', last_active_ago: 10 })
      await world.pass(second)
    })
    expect(got()).toEqual([
      {
        type: 'm.presence',
        sender: alice,
        content: { presence: 'unavailable', last_active_ago: 10 + second },
      },
    ])
  })
})

describe('MSC2409: what is ephemeral', () => {
  it('goes along with events, and is part of what is sent again', async () => {
    let answer: (status: number) => void = () => undefined
    world.behave(() => new Promise((resolve) => (answer = resolve)))
    await say(1)
    await types(alice)
    await say(2)
    world.behave(unreachable)
    answer(200)
    await world.pass(10 * second)
    world.crash()
    world.behave(accept)
    await world.pass(10 * minute)
    const tries = world.sent.slice(1)
    expect(tries.length).toBeGreaterThan(2)
    expect(new Set(tries.map(({ txnId, body }) => `${txnId} ${body}`)).size).toBe(1)
    expect(tries[0]).toMatchObject({ events: [{ event_id: '$2' }], ephemeral: [typing(alice)] })
  })

  it('alone is sent again by the same transaction while this object lives, and costs no row while it fails', async () => {
    world.behave(unreachable)
    await types(alice)
    await types(ann)
    await reads(alice, '$1')
    await reads(alice, '$2')
    await world.pass(minute)
    const ids = new Set(world.sent.map(({ txnId }) => txnId))
    expect(world.sent.length).toBeGreaterThan(3)
    expect(ids.size).toBe(1)
    expect(world.rows()).toBe(0)
    world.behave(accept)
    await world.pass(10 * minute)
    // Then the last word of everything else. Nobody has typed for minutes.
    expect(world.sent.at(-1)?.ephemeral).toEqual([
      typing(),
      { type: 'm.receipt', room_id: roomA, content: { $2: { 'm.read': { [alice]: { ts: 7 } } } } },
    ])
  })

  it('waits in bounded numbers', async () => {
    world.behave(unreachable)
    await types(alice)
    for (let i = 0; i < 1500; i += 1) await reads(`@u${i}:x` as UserId, '$1')
    world.behave(accept)
    world.sent.length = 0
    await world.pass(10 * minute)
    const users = got().flatMap(({ type, content }) =>
      type === 'm.receipt' ? Object.keys(Object(Object(Object(content)['$1'])['m.read'])) : [],
    )
    expect(users).toHaveLength(1000)
    expect(users.at(-1)).toBe('@u1499:x')
    expect(Math.max(...world.sent.map(({ body }) => body.length))).toBeLessThan(20_000)
  })

  it('is sent by the name of before it was specified too where that was asked for', async () => {
    await types(alice)
    expect(JSON.parse(world.sent[0]?.body ?? '')).toEqual({ events: [], ephemeral: [typing(alice)] })
    world = newWorld({ unstableEphemeral: true })
    world.interested.set(roomA, true)
    await types(alice)
    expect(JSON.parse(world.sent[0]?.body ?? '')).toEqual({
      events: [],
      ephemeral: [typing(alice)],
      'de.sorunome.msc2409.ephemeral': [typing(alice)],
    })
    await say(1)
    expect(JSON.parse(world.sent[1]?.body ?? '')).toEqual({
      events: [{ event_id: '$1', unsigned: { age: 0 } }],
    })
  })
})
