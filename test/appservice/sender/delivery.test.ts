// How an AppserviceSender delivers: in order, at least once, each transaction identically until it is acknowledged.
// Specification: application service API, "Pushing events".

import * as fc from 'fast-check'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { tell, tellElsewhere } from '../../../src/appservice/sender/tell.ts'
import { wake } from '../../../src/appservice/sender/work.ts'
import type { EventId, RoomId } from '../../../src/matrix/event.ts'
import {
  accept,
  ann,
  Crash,
  hang,
  minute,
  newWorld,
  refuse,
  roomA,
  roomB,
  second,
  unreachable,
  type World,
} from './fake-world.ts'

let world: World
beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue(undefined)
  world = newWorld()
})

const event = (roomId: RoomId, position: number, at = world.now()) => ({
  position,
  text: JSON.stringify({ event_id: `$${roomId} ${position}`, origin_server_ts: at }),
})
const told = (roomId: RoomId, ...positions: number[]) =>
  world.call((sender) =>
    tell(sender, roomId, { events: positions.map((at) => event(roomId, at)), interested: true }),
  )
const id = (roomId: RoomId, position: number) => `$${roomId} ${position}`
const ids = () => world.sent.map(({ events }) => events.map((one) => one['event_id']))

describe('events', () => {
  it('are sent at once, and cost three rows and an alarm', async () => {
    await told(roomA, 1)
    expect(ids()).toEqual([[id(roomA, 1)]])
    expect(world.rows()).toBe(3 + 1)
    expect(world.kept()).toEqual({ waiting: 0, flight: null })
    // Nothing is left to do, and nothing more is done.
    await world.pass(minute)
    await told(roomA, 2)
    expect(world.rows()).toBe(2 * (3 + 1))
    await told(roomB, 1)
    expect(world.rows()).toBe(2 * (3 + 1) + 3)
    await world.pass(60 * minute)
    expect(world.rows()).toBe(2 * (3 + 1) + 3)
    expect(world.alarmAt()).toBeUndefined()
  })

  it('are known again by their position, also after a restart', async () => {
    await told(roomA, 1, 2)
    await told(roomA, 1, 2, 3)
    world.crash()
    await told(roomA, 2, 3)
    await told(roomB, 2)
    expect(ids()).toEqual([[id(roomA, 1), id(roomA, 2)], [id(roomA, 3)], [id(roomB, 2)]])
  })

  it('that come meanwhile follow in the next transaction, in the order in which they came', async () => {
    let answer: (status: number) => void = () => undefined
    world.behave(() => new Promise((resolve) => (answer = resolve)))
    await told(roomA, 1)
    await told(roomB, 1)
    await told(roomA, 2, 3)
    expect(ids()).toHaveLength(1)
    world.behave(accept)
    answer(200)
    await world.pass(0)
    expect(ids()).toEqual([[id(roomA, 1)], [id(roomB, 1), id(roomA, 2), id(roomA, 3)]])
    expect(world.kept()).toEqual({ waiting: 0, flight: null })
  })

  it('say how old they are when they are sent, and again when they are sent again', async () => {
    world.behave(unreachable)
    await told(roomA, 1)
    await told(roomA, 2)
    await world.pass(10 * minute)
    world.behave(accept)
    await world.pass(10 * minute)
    const [first, last] = [world.sent[0], world.sent.at(-1)]
    expect(first?.events).toMatchObject([{ unsigned: { age: 0 } }])
    expect(last?.events).toMatchObject([{ unsigned: { age: (last?.at ?? 0) - 1_700_000_000_000 } }])
    expect(last?.at).toBeGreaterThan(1_700_000_000_000 + 10 * minute)
  })

  it('go out a hundred at a time, and not more than a megabyte', async () => {
    world.behave(hang)
    await told(roomA, 1)
    await told(roomA, ...Array.from({ length: 250 }, (_, i) => i + 2))
    const big = 'x'.repeat(60_000)
    await world.call((sender) =>
      tell(sender, roomB, {
        events: Array.from({ length: 40 }, (_, i) => ({
          position: i + 1,
          text: JSON.stringify({ big, event_id: id(roomB, i + 1) }),
        })),
        interested: true,
      }),
    )
    world.crash()
    world.behave(accept)
    await world.pass(minute)
    const { sent } = world
    expect(Math.max(...sent.map(({ events }) => events.length))).toBe(100)
    expect(Math.max(...sent.map(({ body }) => body.length))).toBeLessThan(1_000_000)
    expect(new Set(ids().flat()).size).toBe(1 + 250 + 40)
    const ofA = ids()
      .flat()
      .filter((one) => typeof one === 'string' && one.startsWith(`$${roomA}`))
    expect(ofA.slice(1)).toEqual(Array.from({ length: 251 }, (_, i) => id(roomA, i + 1)))
  })

  it('of many transactions are sent in more than one alarm', async () => {
    world.behave(hang)
    for (let i = 1; i <= 60; i += 1) {
      await told(roomA, ...Array.from({ length: 100 }, (_, j) => (i - 1) * 100 + j + 1))
    }
    world.crash()
    world.behave(accept)
    await world.pass(minute)
    expect(world.kept()).toEqual({ waiting: 0, flight: null })
    expect(new Set(ids().flat()).size).toBe(6000)
  })

  it('of rooms elsewhere are told once', async () => {
    const invite = (eventId: string) => ({
      roomId: roomA,
      userId: ann,
      eventId: eventId as EventId,
      event: { event_id: eventId },
    })
    await world.call((sender) => tellElsewhere(sender, invite('$1')))
    await world.call((sender) => tellElsewhere(sender, invite('$1')))
    world.crash()
    await world.call((sender) => tellElsewhere(sender, invite('$1')))
    await world.call((sender) => tellElsewhere(sender, invite('$2')))
    expect(ids()).toEqual([['$1'], ['$2']])
  })
})

describe('a transaction', () => {
  it('is sent again identically under its id until it is acknowledged, and nothing else meanwhile', async () => {
    world.behave(refuse)
    await told(roomA, 1)
    await told(roomA, 2)
    await world.pass(10 * second)
    world.crash()
    await world.pass(minute)
    world.behave(accept)
    await world.pass(10 * minute)
    const tries = world.sent.slice(0, -1)
    expect(tries.length).toBeGreaterThan(4)
    expect(new Set(tries.map(({ txnId }) => txnId)).size).toBe(1)
    expect(new Set(tries.map(({ body }) => body)).size).toBe(1)
    expect(world.sent.at(-1)?.txnId).not.toBe(tries[0]?.txnId)
    expect(ids().at(-1)).toEqual([id(roomA, 2)])
  })

  it.each([201, 202, 204])('is acknowledged by any success, such as status %i', async (status) => {
    world.behave(() => status)
    await told(roomA, 1)
    await world.pass(60 * minute)
    expect(ids()).toEqual([[id(roomA, 1)]])
    expect(world.kept()).toEqual({ waiting: 0, flight: null })
  })

  it('is tried at growing intervals, up to five minutes', async () => {
    world.behave(unreachable)
    await told(roomA, 1)
    await world.pass(60 * minute)
    const pauses = world.sent
      .slice(1)
      .map(({ at }, i) => Math.round((at - (world.sent[i]?.at ?? 0)) / second))
    expect(pauses.slice(0, 9)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256])
    expect(new Set(pauses.slice(9))).toEqual(new Set([300]))
  })

  it('is tried at once when the application service is heard of', async () => {
    world.behave(unreachable)
    await told(roomA, 1)
    await world.pass(60 * minute)
    const before = world.sent.length
    world.behave(accept)
    await world.call(wake)
    expect(world.sent).toHaveLength(before + 1)
    await told(roomA, 2)
    expect(ids().at(-1)).toEqual([id(roomA, 2)])
    await world.call(wake)
    expect(world.sent).toHaveLength(before + 2)
  })

  it('that fails costs two rows each time, and new events do not make it fail more often', async () => {
    world.behave(unreachable)
    await told(roomA, 1)
    await world.pass(30 * minute)
    const before = world.sent.length
    const rows = world.rows()
    for (let i = 2; i < 50; i += 1) await told(roomA, i)
    expect(world.sent).toHaveLength(before)
    expect(world.rows() - rows).toBeLessThanOrEqual(48 * 2 + 1)
    const now = world.rows()
    await world.pass(30 * minute)
    expect(world.rows() - now).toBeLessThanOrEqual(2 * (world.sent.length - before) + 1)
  })

  it('never has the id of another one, in whatever life', async () => {
    for (let i = 1; i <= 20; i += 1) {
      await told(roomA, i)
      if (i % 3 === 0) world.crash()
    }
    const bodies = new Map(world.sent.map(({ txnId, body }) => [txnId, body]))
    expect(bodies.size).toBe(20)
  })
})

describe('whatever is interrupted wherever', () => {
  interface Step {
    readonly room: RoomId
    readonly count: number
    readonly crashAfter: number
    readonly behaviour: 'accept' | 'lose' | 'refuse' | 'unreachable' | 'hang'
    readonly pass: number
  }
  const step: fc.Arbitrary<Step> = fc.record({
    room: fc.constantFrom(roomA, roomB),
    count: fc.integer({ min: 1, max: 4 }),
    crashAfter: fc.oneof(fc.integer({ min: 0, max: 14 }), fc.constant(Infinity)),
    behaviour: fc.constantFrom('accept', 'lose', 'refuse', 'unreachable', 'hang'),
    pass: fc.constantFrom(0, second, minute),
  })

  it('every event arrives once and in order, by transactions whose ids stand for one content each', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        world = newWorld()
        const processed = new Map<string, string>()
        const arrived: unknown[] = []
        const expected: string[] = []
        const take = (transaction: { txnId: string; body: string; events: readonly object[] }) => {
          const known = processed.get(transaction.txnId)
          if (known !== undefined) {
            expect(transaction.body).toBe(known)
            return
          }
          processed.set(transaction.txnId, transaction.body)
          arrived.push(...transaction.events.map((one) => ('event_id' in one ? one.event_id : undefined)))
        }
        const last = new Map<RoomId, number>()
        for (const { room, count, crashAfter, behaviour, pass } of steps) {
          world.behave((transaction) => {
            if (behaviour === 'accept' || behaviour === 'lose') take(transaction)
            if (behaviour === 'hang') return new Promise(() => undefined)
            if (behaviour === 'lose' || behaviour === 'unreachable') return new Error('no answer')
            return behaviour === 'refuse' ? 503 : 200
          })
          const from = last.get(room) ?? 0
          const positions = Array.from({ length: count }, (_, i) => from + 1 + i)
          world.crashAfter(crashAfter)
          // As a room does: again until the call succeeds, and sometimes what had arrived.
          for (let isTold = false; !isTold;) {
            try {
              await told(room, ...(from > 0 ? [from] : []), ...positions)
              isTold = true
            } catch (error) {
              if (!(error instanceof Crash)) throw error
            }
          }
          expected.push(...positions.map((position) => id(room, position)))
          last.set(room, from + count)
          await world.pass(pass)
        }
        world.crashAfter(Infinity)
        world.behave((transaction) => {
          take(transaction)
          return 200
        })
        world.crash()
        await world.pass(10 * minute)
        expect(arrived).toEqual(expected)
        expect(world.kept()).toEqual({ waiting: 0, flight: null })
      }),
      { numRuns: 150 },
    )
  })
})
