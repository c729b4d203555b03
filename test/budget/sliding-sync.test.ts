// What sliding sync may cost: rows written and Durable Object requests, which are what an operator pays for.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { readWranglerConfig } from '../../scripts/wrangler-config.ts'
import { newClient } from '../support/room-client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { allRooms, slidingClient } from '../support/sliding-client.ts'

let server: TestServer
let alice: Person
let bob: Person
let roomId: string

async function person(name: string) {
  const client = await newClient(server, name)
  return { ...client, ...slidingClient(server, client) }
}
type Person = Awaited<ReturnType<typeof person>>

beforeAll(async () => {
  // As on Workers: each request looks its session up, alarms that are there for crashes alone come late.
  const { ROOM_ALARM_SECONDS = '' } = readWranglerConfig().vars
  server = await startServer({ vars: { SESSION_CACHE: 'off', PRESENCE: 'off', ROOM_ALARM_SECONDS } })
  alice = await person('alice')
  bob = await person('bob')
  roomId = await alice.createRoom({ preset: 'public_chat' })
  await bob.join(roomId)
  await rest()
}, 60_000)
afterAll(() => server.stop())

// The state of new rooms is told to the directory by alarms, seconds later.
async function rest(): Promise<void> {
  const requests = async () => (await server.report()).counts.doRequests
  for (;;) {
    const before = await requests()
    await sleep(6500)
    if ((await requests()) === before) return
  }
}

// What happens once in the life of a room or an isolate is not part of an operation.
beforeEach(async () => {
  await say()
})

const say = () => alice.send(roomId, { msgtype: 'm.text', body: 'hello' })

// As clients ask.
const wish: JsonObject = {
  ...allRooms({
    timeline_limit: 1,
    ranges: [[0, 19]],
    required_state: [
      ['m.room.encryption', ''],
      ['m.room.member', '$LAZY'],
      ['m.room.member', '$ME'],
    ],
    filters: { not_room_types: ['m.space'] },
  }),
  conn_id: 'room-list',
  extensions: {
    account_data: { enabled: true },
    receipts: { enabled: true },
    typing: { enabled: true },
  },
}

describe('the budget of', () => {
  it('a sliding sync with nothing new: no row, 1 request, and hardly a row read', async () => {
    const { pos } = await bob.sync(wish)
    const counts = await server.measure(() => bob.sync(wish, { pos }))
    expect([counts.doRowsWritten, counts.doRequests]).toEqual([0, 1])
    expect(counts.doRowsRead).toBeLessThanOrEqual(3)
  })

  it('a poll that waits in vain, and the next one from where it ended: no row and 1 request each', async () => {
    const { pos } = await bob.sync(wish)
    const counts = await server.measure(async () => {
      const answer = await bob.sync(wish, { pos, timeout: 300 })
      await bob.sync(wish, { pos: answer.pos, timeout: 300 })
    })
    expect([counts.doRowsWritten, counts.doRequests]).toEqual([0, 2])
  })

  it('waking a poll by a message: nothing beyond the poll and the message, however often', async () => {
    let { pos } = await bob.sync(wish)
    const counts = await server.measure(async () => {
      for (let i = 0; i < 3; i += 1) {
        const waiting = bob.sync(wish, { pos, timeout: 20_000 })
        await sleep(200)
        await say()
        ;({ pos } = await waiting)
      }
    })
    expect(counts.doRequests).toBe(9)
    expect(counts.doRowsWritten).toBeLessThanOrEqual(15)
  })

  it('the first answer of a connection: 1 row, the requests of the rooms in its range and 1 of the Hub', async () => {
    const carol = await person('carol')
    for (let i = 0; i < 30; i += 1) await carol.createRoom({ name: `${i}` })
    await rest()
    let answer: Awaited<ReturnType<typeof carol.sync>> | undefined
    const first = await server.measure(async () => {
      answer = await carol.sync(wish)
    })
    expect(answer?.lists['all']).toEqual({ count: 30 })
    expect(Object.keys(answer?.rooms ?? {})).toHaveLength(20)
    expect(first.doRequests).toBe(1 + 20)
    expect(first.doRowsWritten).toBe(1)
    // Growing the range asks only those rooms that are new.
    const more = await server.measure(() =>
      carol.sync({ ...wish, ...allRooms({ timeline_limit: 1 }) }, { pos: answer?.pos ?? '' }),
    )
    expect(more.doRequests).toBeLessThanOrEqual(1 + 30)
    expect(more.doRowsWritten).toBe(1)
  }, 90_000)
})
