// How fast the server is that `npm start` starts, over HTTP. The client is on the same machine.

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { pidFile } from '../scripts/runtime.ts'
import { startServer } from '../test/clients/launcher.ts'
import { clientOf } from './client.ts'
import { crowd, createRoom, inRoom, logIn, register, say, sync, type Person } from './people.ts'
import { rate, timed, times, timesOf, type Rate, type Times } from './statistics.ts'

export interface Memory {
  readonly unit: 'MB'
  readonly value: number
}

export interface SpeedResult {
  readonly name: string
  readonly result: Times | Rate | Memory
}

/** Everything the measurements share, made when it is first asked for. */
interface World {
  /** Process ids. */
  readonly workerd: string
  readonly launcher: string
  readonly alice: Person
  readonly bob: Person
  /** A room of Alice and Bob. */
  readonly roomId: string
  /** Fifty users. */
  readonly clients: () => Promise<Person[]>
  /** A user in fifty rooms of twenty messages each, and one of the rooms. */
  readonly busy: () => Promise<{ person: Person; roomId: string }>
}

interface Measurement {
  readonly name: string
  readonly measure: (world: World) => Promise<SpeedResult['result']>
}

const measurements: readonly Measurement[] = [
  { name: 'memory at rest', measure: ({ workerd }) => Promise.resolve(memory(workerd)) },
  { name: 'one send', measure: oneSend },
  { name: 'send to delivery', measure: sendToDelivery },
  { name: 'send to 200 waiting syncs', measure: wakeUps },
  { name: 'sends in one room by 10 clients', measure: (world) => sends(world, 10, 1) },
  { name: 'sends in 20 rooms by 50 clients', measure: (world) => sends(world, 50, 20) },
  { name: 'idle sync in 50 rooms', measure: idleSync },
  { name: 'initial sync of 50 rooms', measure: initialSync },
  { name: 'incremental sync of one message', measure: incrementalSync },
  { name: 'a page of 100 messages', measure: messages },
  { name: 'createRoom', measure: ({ alice }) => times(40, () => timed(() => createRoom(alice))) },
  { name: 'join', measure: join },
  { name: 'login', measure: ({ alice }) => times(10, () => timed(() => logIn(alice))) },
  { name: 'memory of the launcher', measure: ({ launcher }) => Promise.resolve(memory(launcher)) },
  { name: 'memory after all that', measure: ({ workerd }) => Promise.resolve(memory(workerd)) },
]

export const speedNames = measurements.map(({ name }) => name)

/** Measures on a fresh server, those whose name contains `only`. */
export async function measureSpeed(only: string, report: (result: SpeedResult) => void): Promise<void> {
  const chosen = measurements.filter(({ name }) => name.includes(only))
  if (chosen.length === 0) return
  const server = await startServer()
  const client = clientOf(server.url)
  try {
    const [alice, bob] = [await register(client, 'alice'), await register(client, 'bob')]
    const roomId = await createRoom(alice)
    await inRoom(bob, roomId, 'POST', 'join')
    const world: World = {
      workerd: readFileSync(pidFile(server.data), 'utf8').trim(),
      launcher: String(server.pid()),
      alice,
      bob,
      roomId,
      clients: once(() => crowd(client, 'client', 50)),
      busy: once(() => busyPerson(alice)),
    }
    for (const { name, measure } of chosen) report({ name, result: await measure(world) })
  } finally {
    client.close()
    await server.remove()
  }
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => (made ??= make())
}

// The first requests pay for compiling.
async function warmedUp(run: () => Promise<number>, runs: number): Promise<Times> {
  await times(30, run)
  return await times(runs, run)
}

function oneSend({ alice, roomId }: World): Promise<Times> {
  return warmedUp(() => timed(() => say(alice, roomId)), 300)
}

async function sendToDelivery({ alice, bob, roomId }: World): Promise<Times> {
  let { next } = await sync(bob)
  return await warmedUp(async () => {
    const poll = sync(bob, next, 30_000)
    // The poll has to be waiting.
    await sleep(10)
    const start = performance.now()
    const arrival = poll.then(() => performance.now() - start)
    const eventId = await say(alice, roomId)
    const [delivered, taken] = await Promise.all([poll, arrival])
    if (!delivered.text.includes(eventId))
      throw new Error(`the poll brought no ${eventId}: ${delivered.text}`)
    next = delivered.next
    return taken
  }, 150)
}

/** From the send to the answer of each of 200 polls that wait in the room. */
async function wakeUps({ alice }: World): Promise<Times> {
  const people = await crowd(alice.client, 'waiting', 200)
  const roomId = await createRoom(alice)
  for (const person of people) await inRoom(person, roomId, 'POST', 'join')
  // Nobody is told who waits.
  const quiet = { set_presence: 'offline' }
  const since = new Map<Person, string>()
  for (const person of people) since.set(person, (await sync(person, undefined, 0, quiet)).next)
  const taken: number[] = []
  for (let run = 0; run < 15; run += 1) {
    let start = 0
    const polls = people.map(async (person) => {
      const { next, text } = await sync(person, since.get(person), 30_000, quiet)
      since.set(person, next)
      return { text, took: performance.now() - start }
    })
    // All polls have to be waiting.
    await sleep(500)
    start = performance.now()
    const eventId = await say(alice, roomId)
    for (const { text, took } of await Promise.all(polls)) {
      if (!text.includes(eventId)) throw new Error(`a poll brought no ${eventId}: ${text}`)
      // The first runs pay for compiling.
      if (run >= 5) taken.push(took)
    }
  }
  return timesOf(taken)
}

async function sends({ clients }: World, count: number, rooms: number): Promise<Rate> {
  const people = (await clients()).slice(0, count)
  const roomIds: string[] = []
  for (const [i, person] of people.entries()) {
    const roomId = roomIds[i % rooms]
    if (roomId === undefined) roomIds.push(await createRoom(person))
    else await inRoom(person, roomId, 'POST', 'join')
  }
  const sendOne = async (client: number) => {
    const [person, roomId] = [people[client], roomIds[client % rooms]]
    if (person && roomId) await say(person, roomId)
  }
  await rate(count, 1000, sendOne)
  return await rate(count, 4000, sendOne)
}

async function busyPerson(other: Person): Promise<{ person: Person; roomId: string }> {
  const person = await register(other.client, 'busy')
  const roomIds: string[] = []
  const fill = async () => {
    const roomId = await createRoom(other)
    await inRoom(person, roomId, 'POST', 'join')
    for (let i = 0; i < 20; i += 1) await say(i % 2 === 0 ? other : person, roomId)
    roomIds.push(roomId)
  }
  for (let i = 0; i < 10; i += 1) await Promise.all(Array.from({ length: 5 }, fill))
  const [roomId] = roomIds
  if (roomId === undefined) throw new Error('no room was made')
  return { person, roomId }
}

async function idleSync({ busy }: World): Promise<Times> {
  const { person } = await busy()
  const { next } = await sync(person)
  return await warmedUp(() => timed(() => sync(person, next)), 300)
}

async function initialSync({ busy }: World): Promise<Times> {
  const { person } = await busy()
  await sync(person)
  return await times(15, () => timed(() => sync(person)))
}

async function incrementalSync({ alice, busy }: World): Promise<Times> {
  const { person, roomId } = await busy()
  let { next } = await sync(person)
  return await warmedUp(async () => {
    await say(alice, roomId)
    const since = next
    return await timed(async () => ({ next } = await sync(person, since)))
  }, 100)
}

async function messages({ alice, roomId }: World): Promise<Times> {
  for (let i = 0; i < 100; i += 1) await say(alice, roomId)
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?dir=b&limit=100`
  return await warmedUp(() => timed(() => alice.client.text('GET', path, { token: alice.token })), 60)
}

async function join({ alice, bob }: World): Promise<Times> {
  return await times(40, async () => {
    const roomId = await createRoom(alice)
    return await timed(() => inRoom(bob, roomId, 'POST', 'join'))
  })
}

function memory(pid: string): Memory {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return { unit: 'MB', value: Number(kilobytes) / 1024 }
}
