// What a client with many rooms waits for: syncs of a user in 300 rooms beside those of a user in one, and the room list of sliding
// sync beside a first sync. What is compared is measured in turns, in one run.

import { setTimeout as sleep } from 'node:timers/promises'
import { startServer } from '../test/clients/launcher.ts'
import { clientOf } from './client.ts'
import { createRoom, inRoom, register, say, slide, sync, type Person } from './people.ts'
import type { SpeedResult } from './speed.ts'
import { timed, timesOf } from './statistics.ts'

const many = 300
const visible = 20

interface World {
  /** In one room. */
  readonly few: Person
  /** In 300 rooms. */
  readonly person: Person
  readonly other: Person
  /** The room that was made last, of all three. */
  readonly roomId: string
}

type Contest = readonly { readonly name: string; readonly run: (world: World) => Promise<Run> }[]

/** Gives the milliseconds of one time. */
type Run = () => Promise<number>

// One after the other of a contest is run, and again, so that what else the machine is at befalls both.
const contests: readonly { readonly runs: number; readonly contest: Contest }[] = [
  {
    runs: 200,
    contest: [
      { name: 'idle sync in 1 room', run: ({ few }) => idle(few) },
      { name: `idle sync in ${many} rooms`, run: ({ person }) => idle(person) },
      { name: `idle sliding sync in ${many} rooms`, run: ({ person }) => idleSlide(person) },
    ],
  },
  {
    runs: 10,
    contest: [
      { name: `initial sync of ${many} rooms`, run: ({ person }) => first(() => sync(person)) },
      {
        name: `first sliding sync, ${visible} of ${many} rooms`,
        run: ({ person }) => first(() => slide(person, window)),
      },
    ],
  },
  {
    runs: 100,
    contest: [
      { name: 'send to delivery by sync', run: wakeSync },
      { name: 'send to delivery by sliding sync', run: wakeSlide },
    ],
  },
]

export const roomListNames = contests.flatMap(({ contest }) => contest.map(({ name }) => name))

/** Measures on a fresh server, the contests in which a name contains `only`. */
export async function measureRoomLists(only: string, report: (result: SpeedResult) => void): Promise<void> {
  const chosen = contests.filter(({ contest }) => contest.some(({ name }) => name.includes(only)))
  if (chosen.length === 0) return
  const server = await startServer()
  const client = clientOf(server.url)
  try {
    const [few, person, other] = [
      await register(client, 'few'),
      await register(client, 'many'),
      await register(client, 'other'),
    ]
    const roomId = await fill(person, other)
    await inRoom(few, roomId, 'POST', 'join')
    for (const { runs, contest } of chosen) await hold(contest, runs, { few, person, other, roomId }, report)
  } finally {
    client.close()
    await server.remove()
  }
}

async function hold(
  contest: Contest,
  runs: number,
  world: World,
  report: (result: SpeedResult) => void,
): Promise<void> {
  const entries: { name: string; run: Run; taken: number[] }[] = []
  for (const { name, run } of contest) entries.push({ name, run: await run(world), taken: [] })
  // The first of each pay for compiling.
  const warmUp = Math.ceil(runs / 5)
  for (let turn = 0; turn < warmUp + runs; turn += 1) {
    for (const { run, taken } of entries) {
      const took = await run()
      if (turn >= warmUp) taken.push(took)
    }
  }
  for (const { name, taken } of entries) report({ name, result: timesOf(taken) })
}

/** Rooms of both, of five messages each. Gives the last. */
async function fill(person: Person, other: Person): Promise<string> {
  let roomId = ''
  for (let i = 0; i < many; i += 1) {
    roomId = await createRoom(other, { name: `Room ${i}` })
    await inRoom(person, roomId, 'POST', 'join')
    for (let message = 0; message < 5; message += 1) await say(other, roomId)
  }
  return roomId
}

async function idle(person: Person): Promise<Run> {
  const { next } = await sync(person)
  return () => timed(() => sync(person, next))
}

async function idleSlide(person: Person): Promise<Run> {
  const { next } = await slide(person, window)
  return () => timed(() => slide(person, window, next))
}

/** The room list that a client shows first, with a message for each room. */
const window = {
  lists: {
    all: {
      ranges: [[0, visible - 1]],
      timeline_limit: 1,
      required_state: [
        ['m.room.avatar', ''],
        ['m.room.encryption', ''],
        ['m.room.member', '$LAZY'],
        ['m.room.member', '$ME'],
      ],
    },
  },
}

function first(ask: () => Promise<unknown>): Promise<Run> {
  return Promise.resolve(() => timed(ask))
}

async function wakeSync({ person, other, roomId }: World): Promise<Run> {
  let { next } = await sync(person)
  return async () => {
    // What the other one of the contest was sent.
    ;({ next } = await sync(person, next))
    const poll = sync(person, next, 30_000)
    const { taken, answer } = await delivery(poll, other, roomId)
    next = answer.next
    return taken
  }
}

async function wakeSlide({ person, other, roomId }: World): Promise<Run> {
  let { next } = await slide(person, window)
  return async () => {
    ;({ next } = await slide(person, window, next))
    const { taken, answer } = await delivery(slide(person, window, next, 30_000), other, roomId)
    next = answer.next
    return taken
  }
}

/** From a send to the answer of a poll that waits for it. */
async function delivery<T extends { text: string }>(
  poll: Promise<T>,
  sender: Person,
  roomId: string,
): Promise<{ taken: number; answer: T }> {
  // The poll has to be waiting.
  await sleep(10)
  const start = performance.now()
  const arrival = poll.then(() => performance.now() - start)
  const eventId = await say(sender, roomId)
  const answer = await poll
  if (!answer.text.includes(eventId)) throw new Error(`the poll brought no ${eventId}: ${answer.text}`)
  return { taken: await arrival, answer }
}
