// Transactions: order, limits, identical resends, crashes, and what they cost.

import { beforeEach, expect, it, vi } from 'vitest'
import * as fc from 'fast-check'
import { tell } from '../../../src/federation/sender/tell.ts'
import { wake } from '../../../src/federation/sender/wake.ts'
import type { EventId, RoomId } from '../../../src/matrix/event.ts'
import {
  accept,
  day,
  hang,
  hour,
  idsSent,
  minute,
  newWorld,
  one,
  pduIds,
  refuse,
  roomA,
  roomB,
  second,
  three,
  two,
  unreachable,
} from './fake-world.ts'

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
})

it('an event goes to each of its destinations, at once and in a transaction of its own', async () => {
  const world = newWorld()
  await world.say(roomA, [one, two])
  expect(idsSent(world, one)).toEqual([['$a1']])
  expect(idsSent(world, two)).toEqual([['$a1']])
  expect(world.sent[0]?.content).toMatchObject({ origin: 'test.local', origin_server_ts: 1_700_000_000_000 })
  expect(idsSent(world, three)).toEqual([])
  expect(world.asked.pduTexts).toBe(0)
})

it('what comes while a transaction is under way goes in the next one, in order', async () => {
  const world = newWorld()
  let answer: () => void = () => undefined
  world.behave(one, () => new Promise((resolve) => (answer = () => resolve({ status: 200, body: {} }))))
  await world.say(roomA, [one])
  await world.say(roomB, [one])
  await world.say(roomA, [one], 2)
  // Never two at once.
  expect(world.sent).toHaveLength(1)
  answer()
  await new Promise((over) => setTimeout(over, 5))
  expect(idsSent(world, one)).toEqual([['$a1'], ['$b1', '$a2', '$a3']])
})

it('a transaction has at most 50 events', async () => {
  const world = newWorld()
  await world.say(roomA, [one], 120)
  const ids = idsSent(world, one)
  expect(ids.map((list) => list.length)).toEqual([50, 50, 20])
  expect(ids.flat()).toEqual(Array.from({ length: 120 }, (_, i) => `$a${i + 1}`))
})

it('a transaction of large events fits into a row', async () => {
  const world = newWorld()
  await world.say(roomA, [one], 40, 60_000)
  const ids = idsSent(world, one)
  expect(ids.length).toBe(3)
  expect(ids.flat()).toHaveLength(40)
})

it('a failed transaction is sent again identically, before anything else', async () => {
  const world = newWorld()
  world.behave(one, refuse)
  await world.say(roomA, [one])
  await world.say(roomA, [one])
  expect(world.sent).toHaveLength(1)
  world.behave(one, accept)
  await world.advance(2 * minute)
  expect(idsSent(world, one)).toEqual([['$a1'], ['$a1'], ['$a2']])
  const [first, again, next] = world.sent
  expect(again).toMatchObject({ txnId: first?.txnId, content: first?.content })
  expect(next?.txnId).not.toBe(first?.txnId)
})

it('errors for single events in an answer of 200 are no failure', async () => {
  const world = newWorld()
  world.behave(one, () => ({ status: 200, body: { pdus: { $a1: { error: 'no' }, bad: 1 } } }))
  await world.say(roomA, [one])
  await world.say(roomA, [one])
  expect(idsSent(world, one)).toEqual([['$a1'], ['$a2']])
})

it('one that does not answer holds up nobody else', async () => {
  const world = newWorld()
  world.behave(one, hang)
  await world.say(roomA, [one, two])
  await world.say(roomA, [one, two])
  expect(idsSent(world, two)).toEqual([['$a1'], ['$a2']])
})

it('no more requests wait at once than there are connections', async () => {
  const world = newWorld({ connections: 2 })
  let waiting = 0
  let most = 0
  const slow = async () => {
    waiting += 1
    most = Math.max(most, waiting)
    await new Promise((over) => setTimeout(over, 2))
    waiting -= 1
    return { status: 200, body: {} }
  }
  for (const name of [one, two, three]) world.behave(name, slow)
  await world.say(roomA, [one, two, three])
  await world.settle()
  expect(most).toBe(2)
  expect(world.sent).toHaveLength(3)
})

it('a crash before the answer sends the same transaction again', async () => {
  const world = newWorld()
  world.behave(one, hang)
  await world.say(roomA, [one])
  await world.say(roomA, [one])
  world.behave(one, accept)
  await world.restart()
  expect(idsSent(world, one)).toEqual([['$a1'], ['$a1'], ['$a2']])
  expect(world.sent[1]).toMatchObject({ txnId: world.sent[0]?.txnId, content: world.sent[0]?.content })
})

it('after a crash the alarm alone brings everything to its end', async () => {
  const world = newWorld()
  world.behave(one, hang)
  await world.say(roomA, [one])
  world.behave(one, accept)
  await world.restart({ viaAlarm: true })
  expect(idsSent(world, one)).toEqual([['$a1'], ['$a1']])
  await world.advance(day)
  expect(world.sent).toHaveLength(2)
  expect(world.alarmAt).toBeUndefined()
})

it('an end in peace sends nothing again, with all done and no alarm left', async () => {
  const world = newWorld()
  await world.say(roomA, [one, two], 3)
  await world.advance(minute)
  expect(world.alarmAt).toBeUndefined()
  await world.restart()
  await world.say(roomA, [one])
  expect(idsSent(world, one)).toEqual([['$a1', '$a2', '$a3'], ['$a4']])
  expect(idsSent(world, two)).toEqual([['$a1', '$a2', '$a3']])
})

it('with one destination away, the others are not sent again what they have', async () => {
  const world = newWorld()
  world.behave(two, unreachable)
  await world.say(roomA, [one, two])
  await world.advance(3 * minute)
  await world.restart()
  expect(idsSent(world, one)).toEqual([['$a1']])
})

it('after a restart, texts are asked of the rooms, and events that are gone are skipped', async () => {
  const world = newWorld()
  world.behave(one, hang)
  await world.say(roomA, [one])
  await world.sayWithoutText(roomA, [one], '$there', '{"id":"$there"}')
  await world.sayWithoutText(roomA, [one], '$gone')
  await world.sayWithoutText(roomB, [one], '$last', '{"id":"$last"}')
  world.behave(one, accept)
  await world.restart()
  expect(idsSent(world, one)).toEqual([['$a1'], ['$a1'], ['$there', '$last']])
})

it('a room that cannot be asked is asked again soon, and no failure of the destination', async () => {
  const world = newWorld()
  world.roomsAnswer(false)
  await world.sayWithoutText(roomA, [one], '$e', '{"id":"$e"}')
  expect(world.sent).toHaveLength(0)
  world.roomsAnswer(true)
  await world.advance(10 * second)
  expect(idsSent(world, one)).toEqual([['$e']])
})

it('what a room tells twice is sent once', async () => {
  const world = newWorld()
  const event = { position: 7, eventId: '$e' as never, destinations: [one], text: '{"id":"$e"}' }
  tell(world.sender, roomA, [event])
  tell(world.sender, roomA, [event])
  await world.settle()
  expect(idsSent(world, one)).toEqual([['$e']])
})

it('what a room repeats after a restart is known, even if all of it was delivered', async () => {
  const world = newWorld()
  await world.say(roomA, [one], 3)
  await world.say(roomB, [one], 2)
  await world.say(roomA, [one])
  await world.advance(minute)
  await world.restart()
  const events = (room: string, positions: number[]) =>
    positions.map((position) => ({
      position,
      eventId: `$${room}${position}` as EventId,
      destinations: [one],
      text: '{}',
    }))
  const tries = world.sent.length
  tell(world.sender, roomA, events('a', [3, 4]))
  tell(world.sender, roomB, events('b', [1, 2]))
  await world.settle()
  expect(world.sent).toHaveLength(tries)
  expect(world.count('outbox')).toBe(2)
})

it('the rows of very many rooms are used again', async () => {
  const world = newWorld()
  for (let i = 0; i < 1100; i += 1) await world.say(`!${i}:x` as RoomId, [one])
  expect(world.count('outbox')).toBe(1000)
  expect(idsSent(world, one)).toHaveLength(1100)
})

it('an event costs one row, and one for each transaction; the alarm one a burst', async () => {
  const world = newWorld()
  await world.say(roomA, [one, two])
  await world.advance(minute)
  // Outbox, two transactions, the alarm.
  expect(await world.rows(() => world.say(roomA, [one, two]))).toBe(4)
  expect(await world.rows(() => world.say(roomA, [one, two]))).toBe(3)
  // That all was acknowledged costs nothing.
  expect(await world.rows(() => world.advance(hour))).toBe(0)
  // Rows that nobody needs are used again.
  for (let i = 0; i < 20; i += 1) await world.say(roomA, [one, two])
  expect(world.count('outbox')).toBe(1)
})

it('rows of a long backlog are given back', async () => {
  const world = newWorld()
  world.behave(one, hang)
  for (let i = 0; i < 1100; i += 1) {
    void world.say(roomA, [one])
  }
  expect(world.count('outbox')).toBe(1100)
  world.behave(one, accept)
  await world.restart()
  await world.advance(minute)
  expect(world.count('outbox')).toBe(0)
  await world.say(roomA, [one])
  expect(idsSent(world, one).at(-1)).toEqual(['$a1101'])
})

it('whatever happens in between, everybody gets every event, in order, and a repetition only as the same transaction', async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('say' as const), to: fc.subarray([one, two, three], { minLength: 1 }) }),
    fc.record({ do: fc.constant('fail' as const), who: fc.constantFrom(one, two) }),
    fc.record({ do: fc.constant('mend' as const), who: fc.constantFrom(one, two) }),
    fc.record({ do: fc.constant('hang' as const), who: fc.constantFrom(one, two) }),
    fc.record({ do: fc.constant('crash' as const) }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 4 * minute }) }),
    fc.record({ do: fc.constant('wake' as const), who: fc.constantFrom(one, two) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const world = newWorld({ connections: 2 })
      const expected = new Map<string, string[]>([one, two, three].map((name) => [name, []]))
      for (const action of steps) {
        if (action.do === 'say') {
          const [id] = await world.say(roomA, action.to)
          for (const name of action.to) expected.get(name)?.push(String(id))
        }
        if (action.do === 'fail') world.behave(action.who, unreachable)
        if (action.do === 'mend') world.behave(action.who, accept)
        if (action.do === 'hang') world.behave(action.who, hang)
        if (action.do === 'crash') await world.restart()
        if (action.do === 'wait') await world.advance(action.ms)
        if (action.do === 'wake') wake(world.sender, action.who)
      }
      for (const name of [one, two]) world.behave(name, accept)
      await world.restart()
      await world.advance(50 * minute)
      for (const [name, ids] of expected) {
        const seen = new Map<string, string[]>()
        for (const { destination, txnId, content } of world.sent) {
          if (destination !== name) continue
          expect(seen.get(txnId) ?? pduIds(content)).toEqual(pduIds(content))
          seen.set(txnId, pduIds(content))
        }
        expect([...seen.values()].flat()).toEqual(ids)
      }
    }),
    { numRuns: 40 },
  )
}, 60_000)
