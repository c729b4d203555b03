// Destinations that are away: back-off, waking, catching up, and that they cost nothing.

import { beforeEach, describe, expect, it, vi } from 'vitest'
import { failingDestinations, listDestinations } from '../../../src/federation/sender/destinations.ts'
import { wake } from '../../../src/federation/sender/wake.ts'
import type { RoomId } from '../../../src/matrix/event.ts'
import {
  accept,
  day,
  hour,
  idsSent,
  minute,
  newWorld,
  one,
  refuse,
  roomA,
  roomB,
  second,
  two,
  unreachable,
  type World,
} from './fake-world.ts'

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
})

/** The pauses between tries, in minutes. */
function pauses(world: World): number[] {
  const times = world.sent.filter(({ destination }) => destination === one).map(({ at }) => at)
  return times.slice(1).map((at, i) => Math.round((at - (times[i] ?? 0)) / minute))
}

describe('a destination that cannot be reached', () => {
  it('is tried after a minute, then after twice as long each time, up to a day', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await world.say(roomA, [one])
    await world.advance(5 * day)
    expect(pauses(world)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440, 1440])
  })

  it('is tried when it says, if that is later', async () => {
    const world = newWorld()
    world.behave(one, () => ({
      status: 429,
      body: { errcode: 'M_LIMIT_EXCEEDED', retry_after_ms: 10 * minute },
    }))
    await world.say(roomA, [one])
    await world.advance(11 * minute)
    expect(pauses(world)).toEqual([10])
  })

  it('is tried again within seconds at first, which costs nothing and is no failure yet', async () => {
    const world = newWorld({ quickRetriesMs: [second, 5 * second] })
    await world.say(roomA, [one])
    await world.advance(minute)
    let failures = 2
    world.behave(one, () => (failures-- > 0 ? { status: 502, body: {} } : { status: 200, body: {} }))
    await world.say(roomA, [one])
    expect(await world.rows(() => world.advance(10 * second))).toBe(0)
    expect(idsSent(world, one)).toEqual([['$a1'], ['$a2'], ['$a2'], ['$a2']])
    expect(listDestinations(world.sender)[0]).toMatchObject({ state: 'ok', failures: 0 })
  })

  it('is left alone after the quick retries, and is tried once each time from then on', async () => {
    const world = newWorld({ quickRetriesMs: [second, 5 * second] })
    world.behave(one, unreachable)
    await world.say(roomA, [one])
    await world.advance(4 * minute)
    expect(world.sent).toHaveLength(3 + 2)
    expect(failingDestinations(world.sender)).toEqual([one])
  })

  it('is not tried again at once when it asks for patience', async () => {
    const world = newWorld({ quickRetriesMs: [second, 5 * second] })
    world.behave(one, () => ({ status: 429, body: { retry_after_ms: 10 * minute } }))
    await world.say(roomA, [one])
    await world.advance(9 * minute)
    expect(world.sent).toHaveLength(1)
  })

  it('keeps its back-off over a restart', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await world.say(roomA, [one])
    await world.advance(10 * minute)
    await world.restart()
    await world.say(roomA, [one])
    expect(pauses(world)).toEqual([1, 2, 4])
    await world.advance(10 * minute)
    expect(pauses(world)).toEqual([1, 2, 4, 8])
  })

  it('is tried at once when it is heard of, but not more than once a minute', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await world.say(roomA, [one])
    await world.advance(20 * minute)
    const tries = world.sent.length
    wake(world.sender, one)
    await world.settle()
    wake(world.sender, one)
    await world.settle()
    expect(world.sent).toHaveLength(tries + 1)
    world.behave(one, accept)
    await world.advance(61 * second)
    wake(world.sender, one)
    await world.settle()
    expect(world.sent).toHaveLength(tries + 2)
    expect(failingDestinations(world.sender)).toEqual([])
  })

  it('starts its back-off anew after it was heard of', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await world.say(roomA, [one])
    await world.advance(5 * hour)
    const before = world.sent.length
    wake(world.sender, one)
    await world.settle()
    await world.advance(3 * minute)
    expect(world.sent).toHaveLength(before + 2)
  })

  it('is not woken while all is well', async () => {
    const world = newWorld()
    await world.say(roomA, [one])
    expect(await world.rows(async () => wake(world.sender, one))).toBe(0)
    wake(world.sender, two)
    expect(world.sent).toHaveLength(1)
  })

  it('is listed with its error, its next try and its backlog', async () => {
    const world = newWorld()
    world.behave(one, refuse)
    await world.say(roomA, [one, two])
    await world.say(roomA, [one])
    expect(listDestinations(world.sender)).toEqual([
      {
        destination: one,
        state: 'backing_off',
        failures: 1,
        failing_since: 1_700_000_000_000,
        last_error: 'status 503',
        last_success: null,
        next_retry: 1_700_000_000_000 + minute,
        backlog: { events: 1, rooms: 0, transaction_in_flight: true },
      },
      {
        destination: two,
        state: 'ok',
        failures: 0,
        failing_since: null,
        last_error: null,
        last_success: 1_700_000_000_000,
        next_retry: null,
        backlog: { events: 0, rooms: 0, transaction_in_flight: false },
      },
    ])
    expect(failingDestinations(world.sender)).toEqual([one])
  })
})

describe('a destination that is away for long', () => {
  it('is told the newest event of each room that it has missed, then what goes on', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await world.say(roomA, [one], 3)
    await world.advance(2 * hour)
    await world.say(roomA, [one], 40)
    await world.say(roomB, [one], 40)
    await world.advance(2 * hour)
    world.behave(one, accept)
    const tries = world.sent.length
    await world.advance(day)
    await world.say(roomA, [one])
    // What was in flight goes as it was, whenever that is.
    expect(idsSent(world, one).slice(tries)).toEqual([['$a1', '$a2', '$a3'], ['$a43', '$b40'], ['$a44']])
    expect(world.count('catch_up')).toBe(0)
    expect(listDestinations(world.sender)[0]).toMatchObject({ state: 'ok', backlog: { events: 0, rooms: 0 } })
  })

  it('costs a row a room, and nothing after that', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await world.say(roomA, [one])
    await world.advance(2 * hour)
    // The alarm for the next try is armed; the first event of a burst arms it for the case of a crash.
    await world.say(roomA, [one])
    expect(await world.rows(() => world.say(roomB, [one], 100))).toBe(1)
    expect(await world.rows(() => world.say(roomA, [one], 100))).toBe(0)
    expect(world.asked.newestFor).toBe(0)
    expect(world.count('outbox')).toBe(1)
  })

  it('costs a few rows a day', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await world.say(roomA, [one])
    await world.advance(10 * day)
    expect(await world.rows(() => world.advance(10 * day))).toBeLessThanOrEqual(10 * 3)
  })

  it('does not keep a backlog of more than 500 events', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    for (let i = 0; i < 12; i += 1) await world.say(roomA, [one], 50)
    expect(listDestinations(world.sender)[0]).toMatchObject({ backlog: { events: 0, rooms: 1 } })
    world.behave(one, accept)
    await world.advance(5 * minute)
    expect(idsSent(world, one).at(-1)).toEqual(['$a600'])
  })

  it('is as all others once it is back, if nothing else has happened', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await world.say(roomA, [one])
    await world.advance(2 * hour)
    world.behave(one, accept)
    await world.advance(day)
    expect(listDestinations(world.sender)[0]).toMatchObject({
      state: 'ok',
      failures: 0,
      last_error: 'no route',
    })
    await world.say(roomA, [one])
    expect(idsSent(world, one).at(-1)).toEqual(['$a2'])
    expect(world.count('catch_up')).toBe(0)
  })

  it('catches up also after a restart', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await world.say(roomA, [one])
    await world.advance(2 * hour)
    await world.say(roomB, [one], 3)
    world.behave(one, accept)
    await world.restart({ viaAlarm: true })
    await world.advance(day)
    expect(idsSent(world, one).slice(-2)).toEqual([['$a1'], ['$b3']])
    expect(world.alarmAt).toBeUndefined()
  })

  it('catches up in transactions of at most 50 events', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await world.say(roomA, [one])
    await world.advance(2 * hour)
    for (let i = 0; i < 70; i += 1) await world.say(`!${String.fromCharCode(0x4e00 + i)}:x` as RoomId, [one])
    world.behave(one, accept)
    await world.advance(day)
    const ids = idsSent(world, one).slice(-4)
    expect(ids.every((list) => list.length <= 50)).toBe(true)
    expect(new Set(ids.flat()).size).toBe(70)
  })

  it('does not miss what is said while its rooms are asked', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await world.say(roomA, [one])
    await world.advance(2 * hour)
    await world.say(roomB, [one])
    let first = true
    world.whileFetching(() => {
      if (first) void world.say(roomB, [one])
      first = false
    })
    world.behave(one, accept)
    await world.advance(day)
    expect(idsSent(world, one).slice(-2)).toEqual([['$b1'], ['$b2']])
  })

  it('does not miss what is said while it catches up', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await world.say(roomA, [one])
    await world.advance(2 * hour)
    await world.say(roomB, [one])
    let first = true
    world.behave(one, async () => {
      // Said in each of the rooms while the first transaction is under way.
      if (first) {
        first = false
        void world.say(roomA, [one])
        void world.say(roomB, [one])
      }
      return { status: 200, body: {} }
    })
    await world.advance(day)
    const ids = idsSent(world, one).flat()
    expect(ids).toContain('$a2')
    expect(ids).toContain('$b2')
  })
})
