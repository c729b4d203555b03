// Many destinations at once, which consumers of a queue serve.

import { beforeEach, expect, it, vi } from 'vitest'
import { listDestinations } from '../../../src/federation/sender/destinations.ts'
import { pull, report } from '../../../src/federation/sender/queued.ts'
import type { ServerName } from '../../../src/matrix/event.ts'
import type { JsonObject } from '../../../src/matrix/json.ts'
import { idsSent, minute, newWorld, pduIds, roomA, second, type World } from './fake-world.ts'

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue()
})

const many = Array.from({ length: 25 }, (_, i) => `${String.fromCharCode(97 + i)}.test` as ServerName)
const accepted = { accepted: true, refused: [] } as const

async function fetchWork(world: World, lease = world.queued[0] ?? 0) {
  const transactions = await pull(world.sender, lease)
  return transactions.map(({ destination, txnId, content }) => ({
    destination,
    txnId,
    ids: pduIds(JSON.parse(content) as JsonObject),
  }))
}

/** Has a consumer serve what a message names. */
async function consume(world: World, lease: number): Promise<Map<ServerName, string[]>> {
  const work = await fetchWork(world, lease)
  report(
    world.sender,
    lease,
    work.map(({ destination }) => ({ destination, outcome: accepted })),
  )
  await world.settle()
  return new Map(work.map(({ destination, ids }) => [destination, ids]))
}

it('ten go with each message, and the sender serves the rest itself', async () => {
  const world = newWorld({ queueFrom: 20 })
  await world.say(roomA, many)
  expect(world.queued).toHaveLength(2)
  expect(world.sent).toHaveLength(5)
  const served = await Promise.all(world.queued.map((lease) => consume(world, lease)))
  const direct = world.sent.map(({ destination }) => destination)
  expect(new Set([...direct, ...served.flatMap((part) => [...part.keys()])])).toEqual(new Set(many))
  expect(served.map((part) => part.size)).toEqual([10, 10])
  expect(served[0]?.get(many[0] ?? ('' as ServerName))).toEqual(['$a1'])
  await world.advance(10 * minute)
  expect(world.alarmAt).toBeUndefined()
  expect(world.sent).toHaveLength(5)
})

it('few are served by the sender itself', async () => {
  const world = newWorld({ queueFrom: 20 })
  await world.say(roomA, many.slice(0, 19))
  expect(world.queued).toEqual([])
  expect(world.sent).toHaveLength(19)
})

it('a message that comes twice finds nothing to do', async () => {
  const world = newWorld({ queueFrom: 20 })
  await world.say(roomA, many)
  const [first] = await Promise.all([fetchWork(world), fetchWork(world)])
  expect(first).toHaveLength(10)
  expect(await fetchWork(world)).toEqual([])
  report(
    world.sender,
    world.queued[0] ?? 0,
    many.map((destination) => ({ destination, outcome: accepted })),
  )
  expect(await fetchWork(world)).toEqual([])
})

it('what is said meanwhile is sent afterwards, in order', async () => {
  const world = newWorld({ queueFrom: 20 })
  await world.say(roomA, many)
  const [lease = 0] = world.queued
  const work = await fetchWork(world, lease)
  await world.say(roomA, many.slice(0, 3), 2)
  const [one] = work
  if (!one) throw new Error('no work')
  expect(idsSent(world, one.destination)).toEqual([])
  report(
    world.sender,
    lease,
    work.map(({ destination }) => ({ destination, outcome: accepted })),
  )
  await world.settle()
  expect(one.ids).toEqual(['$a1'])
  expect(idsSent(world, one.destination)).toEqual([['$a2', '$a3']])
})

it('a message that is lost is made good by the alarm, without the queue', async () => {
  const world = newWorld({ queueFrom: 20 })
  await world.say(roomA, many)
  const lost = world.queued.splice(0)
  await world.advance(4 * minute)
  expect(world.sent).toHaveLength(25)
  for (const lease of lost) expect(await fetchWork(world, lease)).toEqual([])
  // After a while it is believed in again.
  await world.advance(10 * minute)
  await world.say(roomA, many)
  expect(world.queued).toHaveLength(2)
})

it('a consumer that ends without a word has its transactions sent again, identically', async () => {
  const world = newWorld({ queueFrom: 20 })
  await world.say(roomA, many)
  const [lease = 0, other = 0] = world.queued
  await consume(world, other)
  const work = await fetchWork(world, lease)
  await world.advance(6 * minute)
  // Now they are few.
  for (const { destination, txnId, ids } of work) {
    expect(idsSent(world, destination)).toEqual([ids])
    expect(world.sent.find((sent) => sent.destination === destination)?.txnId).toBe(txnId)
  }
  // Its report comes after all: it means nothing any more.
  report(
    world.sender,
    lease,
    work.map(({ destination }) => ({ destination, outcome: { accepted: false, error: 'no' } })),
  )
  expect(listDestinations(world.sender).every(({ state }) => state === 'ok')).toBe(true)
})

it('after a restart no lease holds, and everybody is served', async () => {
  const world = newWorld({ queueFrom: 20 })
  await world.say(roomA, many)
  const [lease = 0] = world.queued.splice(0)
  const before = await fetchWork(world, lease)
  await world.advance(second)
  await world.restart()
  expect(await fetchWork(world, lease)).toEqual([])
  const served = (await Promise.all(world.queued.map((one) => fetchWork(world, one)))).flat()
  for (const { destination, txnId } of before) {
    const again = [...served, ...world.sent].find((one) => one.destination === destination)
    expect(again?.txnId).toBe(txnId)
  }
})

it('what fails backs off as ever', async () => {
  const world = newWorld({ queueFrom: 20, quickRetriesMs: [second] })
  await world.say(roomA, many)
  const [lease = 0] = world.queued
  const [one, ...others] = await fetchWork(world, lease)
  if (!one) throw new Error('no work')
  report(world.sender, lease, [
    { destination: one.destination, outcome: { accepted: false, error: 'status 503' } },
    ...others.map(({ destination }) => ({ destination, outcome: accepted })),
  ])
  await world.advance(2 * second)
  expect(world.sent.find(({ destination }) => destination === one.destination)?.txnId).toBe(one.txnId)
})

it('the sender serves all itself when the queue takes no more', async () => {
  const world = newWorld({ queueFrom: 20 })
  world.queueTakes(false)
  await world.say(roomA, many)
  // No more than an invocation may send; the alarm goes on.
  expect(world.sent).toHaveLength(19)
  await world.advance(second)
  expect(world.sent).toHaveLength(25)
  await world.say(roomA, many)
  await world.advance(second)
  expect(world.sent).toHaveLength(50)
})

it('a message costs no row beside those of the transactions', async () => {
  const world = newWorld({ queueFrom: 20 })
  await world.say(roomA, many)
  for (const lease of world.queued.splice(0)) await consume(world, lease)
  // Outbox, a transaction each.
  const rows = await world.rows(async () => {
    await world.say(roomA, many)
    for (const lease of world.queued.splice(0)) await consume(world, lease)
  })
  expect(rows).toBe(1 + many.length)
})
