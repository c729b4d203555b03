// EDUs: coalescing, limits, and what becomes of them when a destination is away.

import { beforeEach, expect, it, vi } from 'vitest'
import type { RoomEdu } from '../../../src/federation/sender/edus.ts'
import { tellEdu } from '../../../src/federation/sender/tell.ts'
import type { EventId, UserId } from '../../../src/matrix/event.ts'
import {
  accept,
  alice,
  edusSent,
  minute,
  newWorld,
  one,
  roomA,
  roomB,
  second,
  two,
  unreachable,
} from './fake-world.ts'

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
})

const bob = '@bob:test.local' as UserId

function receipt(
  userId: UserId,
  eventId: string,
  more: { roomId?: typeof roomA; threadId?: string } = {},
): RoomEdu {
  return { type: 'm.receipt', roomId: roomA, userId, eventId: eventId as EventId, ts: 5, ...more }
}

function typing(userId: UserId, isTyping = true): RoomEdu {
  return { type: 'm.typing', roomId: roomA, userId, typing: isTyping }
}

function worldOf(...servers: (typeof one)[]) {
  const world = newWorld()
  world.servers.set(roomA, servers)
  world.servers.set(roomB, servers)
  return world
}

it('EDUs that wait go along with events', async () => {
  const world = newWorld()
  world.servers.set(roomA, [one])
  await world.edu({ type: 'm.receipt', roomId: roomA, userId: alice, eventId: '$x' as never, ts: 1 })
  expect(world.sent).toHaveLength(0)
  await world.say(roomA, [one])
  expect(edusSent(world, one)).toHaveLength(1)
  expect(edusSent(world, one)[0]).toHaveLength(1)
  await world.advance(minute)
  expect(world.sent).toHaveLength(1)
})

it('typing goes at once, to the other servers of the room', async () => {
  const world = worldOf(one, two)
  expect(await world.edu(typing(alice))).toBe(true)
  const content = { room_id: roomA, user_id: alice, typing: true }
  expect(edusSent(world, one)).toEqual([[{ edu_type: 'm.typing', content }]])
  expect(edusSent(world, two)).toEqual([[{ edu_type: 'm.typing', content }]])
  expect(world.sent[0]?.content['pdus']).toEqual([])
})

it('in a room without other servers there is nobody to tell', async () => {
  const world = worldOf()
  expect(await world.edu(typing(alice))).toBe(false)
  expect(world.sent).toEqual([])
})

it('a room is asked for its servers once in a while', async () => {
  const world = worldOf(one)
  await world.edu(typing(alice))
  await world.edu(typing(alice, false))
  expect(world.asked.otherServers).toBe(1)
  await world.advance(11 * second)
  await world.edu(typing(alice))
  expect(world.asked.otherServers).toBe(2)
})

it('receipts of a moment go together, one EDU a room, the newest of each user', async () => {
  const world = worldOf(one)
  await world.edu(receipt(alice, '$1'))
  await world.edu(receipt(bob, '$1'))
  await world.edu(receipt(alice, '$2'))
  await world.edu(receipt(alice, '$3', { roomId: roomB }))
  expect(world.sent).toEqual([])
  await world.advance(second)
  const read = (eventId: string) => ({ event_ids: [eventId], data: { ts: 5 } })
  expect(edusSent(world, one)).toEqual([
    [
      {
        edu_type: 'm.receipt',
        content: { [roomA]: { 'm.read': { [bob]: read('$1'), [alice]: read('$2') } } },
      },
      { edu_type: 'm.receipt', content: { [roomB]: { 'm.read': { [alice]: read('$3') } } } },
    ],
  ])
})

it('receipts for several threads of a room need an EDU each', async () => {
  const world = worldOf(one)
  await world.edu(receipt(alice, '$1', { threadId: 'main' }))
  await world.edu(receipt(alice, '$2', { threadId: '$root' }))
  await world.advance(second)
  const read = (eventId: string, thread: string) => ({
    [roomA]: { 'm.read': { [alice]: { event_ids: [eventId], data: { ts: 5, thread_id: thread } } } },
  })
  expect(edusSent(world, one)).toEqual([
    [
      { edu_type: 'm.receipt', content: read('$1', 'main') },
      { edu_type: 'm.receipt', content: read('$2', '$root') },
    ],
  ])
})

it('a transaction has at most 100 EDUs', async () => {
  const world = worldOf(one)
  for (let i = 0; i < 130; i += 1) await tellEdu(world.sender, receipt(alice, '$e', { threadId: `$${i}` }))
  await world.advance(second)
  expect(edusSent(world, one).map((edus) => edus.length)).toEqual([100, 30])
})

it('EDUs alone cost no row', async () => {
  const world = worldOf(one)
  await world.say(roomA, [one])
  await world.advance(minute)
  const rows = await world.rows(async () => {
    await world.edu(typing(alice))
    await world.edu(receipt(alice, '$1'))
    await world.advance(minute)
  })
  expect(rows).toBe(0)
  expect(edusSent(world, one).flat()).toHaveLength(2)
})

it('for a destination that is away, typing is dropped and receipts wait', async () => {
  const world = worldOf(one)
  world.behave(one, unreachable)
  await world.say(roomA, [one])
  await world.edu(typing(alice))
  await world.edu(receipt(alice, '$1'))
  world.behave(one, accept)
  await world.advance(5 * minute)
  const types = edusSent(world, one).map((edus) => edus.map((edu) => edu['edu_type']))
  // The transaction that failed goes again as it was.
  expect(types).toEqual([[], [], ['m.receipt']])
})

it('a transaction of EDUs alone that fails is given up, and the destination backs off', async () => {
  const world = worldOf(one)
  world.behave(one, unreachable)
  await world.edu(typing(alice))
  await world.edu(typing(alice, false))
  await world.say(roomA, [one])
  expect(world.sent).toHaveLength(1)
  world.behave(one, accept)
  await world.advance(5 * minute)
  expect(edusSent(world, one)).toHaveLength(2)
  expect(edusSent(world, one)[1]).toEqual([])
})

it('typing that could not be told in time is not told any more', async () => {
  const world = worldOf(one)
  let answer: () => void = () => undefined
  world.behave(one, () => new Promise((resolve) => (answer = () => resolve({ status: 200, body: {} }))))
  await world.say(roomA, [one])
  await world.edu(typing(alice))
  await world.advance(minute)
  world.behave(one, accept)
  answer()
  await world.settle()
  await world.edu(typing(bob))
  expect(edusSent(world, one).flat()).toEqual([
    { edu_type: 'm.typing', content: { room_id: roomA, user_id: bob, typing: true } },
  ])
})
