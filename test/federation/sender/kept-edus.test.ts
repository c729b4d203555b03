// EDUs about keys: they reach their destinations whatever happens between.

import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { KeptEdu } from '../../../src/federation/sender/edus.ts'
import { tellKept } from '../../../src/federation/sender/tell-kept.ts'
import type { ServerName } from '../../../src/matrix/event.ts'
import {
  accept,
  edusSent,
  hang,
  minute,
  newWorld,
  one,
  roomA,
  two,
  unreachable,
  type World,
} from './fake-world.ts'

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
})

const update = (device: string, streamId: number): KeptEdu => ({
  type: 'm.device_list_update',
  key: `@alice:test.local ${device}`,
  content: { device_id: device, stream_id: streamId },
})

async function say(world: World, servers: readonly ServerName[], ...edus: KeptEdu[]): Promise<void> {
  tellKept(world.sender, servers, edus)
  await world.settle()
}

const streamIds = (world: World) =>
  edusSent(world, one)
    .flat()
    .map(({ content }) => (content as { stream_id: number }).stream_id)

describe('EDUs about keys', () => {
  it('go at once, to the servers that are named', async () => {
    const world = newWorld()
    await say(world, [one, two], update('A', 1), update('B', 2))
    const wire = [
      { edu_type: 'm.device_list_update', content: { device_id: 'A', stream_id: 1 } },
      { edu_type: 'm.device_list_update', content: { device_id: 'B', stream_id: 2 } },
    ]
    expect([edusSent(world, one), edusSent(world, two)]).toEqual([[wire], [wire]])
    await world.advance(10 * minute)
    expect(world.sent).toHaveLength(2)
  })

  it('that were on their way when the process ended are sent again, identically', async () => {
    const world = newWorld()
    world.behave(one, hang)
    await say(world, [one], update('A', 1))
    world.behave(one, accept)
    await world.restart({ viaAlarm: true })
    expect(world.sent).toHaveLength(2)
    expect(world.sent[1]?.txnId).toBe(world.sent[0]?.txnId)
    expect(world.sent[1]?.content).toEqual(world.sent[0]?.content)
  })

  it('that waited behind a transaction when the process ended are not lost', async () => {
    const world = newWorld()
    world.behave(one, hang)
    await say(world, [one], update('A', 1))
    await say(world, [one], update('A', 2), update('B', 3))
    world.behave(one, accept)
    await world.restart({ viaAlarm: true })
    await world.advance(minute)
    expect(streamIds(world)).toEqual([1, 1, 2, 3])
  })

  it('wait for a destination that is away, the newest of each device, over restarts, and go with events', async () => {
    const world = newWorld()
    world.behave(one, unreachable)
    await say(world, [one], update('A', 1))
    await say(world, [one], update('A', 2))
    await say(world, [one], update('B', 3))
    await world.restart()
    await say(world, [one], update('A', 4))
    await world.say(roomA, [one])
    await world.restart()
    world.behave(one, accept)
    world.sent.length = 0
    await world.advance(5 * minute)
    // The first is in the transaction that was written down.
    expect(streamIds(world)).toEqual([1, 3, 4])
    await world.restart()
    await world.advance(60 * minute)
    expect(streamIds(world)).toEqual([1, 3, 4])
  })

  it('cost a row and the alarm for each destination that is there', async () => {
    const world = newWorld()
    await say(world, [one], update('A', 1))
    await world.advance(10 * minute)
    expect(await world.rows(() => say(world, [one], update('A', 2)))).toBeLessThanOrEqual(2)
  })
})
