// What operations cost on Cloudflare: counted by the guard of the tests around every binding, not timed.

import { setTimeout as sleep } from 'node:timers/promises'
import { readWranglerConfig } from '../scripts/wrangler-config.ts'
import type { Counts, GuardReport } from '../test/support/guard/counters.ts'
import { startServer, type TestServer } from '../test/support/server.ts'
import { clientOf } from './client.ts'
import { operations } from './operations.ts'
import { createRoom, inRoom, register, say } from './people.ts'

export interface Cost {
  readonly name: string
  /** For one operation. */
  readonly counts: Counts
}

// What is set otherwise on one's own machine.
const { ROOMS_PER_SYNC = '', ROOM_ALARM_SECONDS = '' } = readWranglerConfig().vars
const production = { SESSION_CACHE: 'off', ROOMS_PER_SYNC, ROOM_ALARM_SECONDS }

// A room's alarm comes five seconds after a state event. Once those that are pending are over, so long nothing is counted
// but what an operation does itself. In milliseconds.
const afterAlarms = 6_000
const quiet = 3_500

/** A message after a pause, and the alarm that looks after it: long after, in production. */
export const burst = 'message on its own, with the alarm'

export const costNames = [...operations.map(({ name }) => name), burst]

/** Counts on a fresh server, those whose name contains `only`. Returns the invocation with the most subrequests. */
export async function measureCosts(
  only: string,
  report: (cost: Cost) => void,
): Promise<GuardReport['mostSubrequests'] | undefined> {
  const chosen = operations.filter(({ name }) => name.includes(only))
  if (chosen.length === 0 && !burst.includes(only)) return undefined
  const server = await startServer({ vars: production })
  const client = clientOf(server.url)
  try {
    const [alice, bob] = [await register(client, 'alice'), await register(client, 'bob')]
    const roomId = await createRoom(alice)
    await inRoom(bob, roomId, 'POST', 'join')
    const world = { server, alice, bob, roomId }
    let calm = 0
    for (const { name, runs, prepare } of chosen) {
      const run = await prepare(world)
      if (performance.now() - calm > quiet) {
        await sleep(afterAlarms)
        calm = performance.now()
      }
      // The room's alarm is armed already: what a message costs to arm it is in `burst`.
      await say(alice, roomId)
      report({ name, counts: await count(server, runs, run) })
    }
    if (burst.includes(only)) report({ name: burst, counts: await measureBurst() })
    return (await server.report()).mostSubrequests
  } finally {
    client.close()
    await server.stop()
  }
}

async function measureBurst(): Promise<Counts> {
  const server = await startServer({ vars: { ...production, ROOM_ALARM_SECONDS: '5' } })
  const client = clientOf(server.url)
  try {
    const alice = await register(client, 'alice')
    const roomId = await createRoom(alice)
    await sleep(afterAlarms)
    return await count(server, 1, () => Promise.all([say(alice, roomId), sleep(afterAlarms)]))
  } finally {
    client.close()
    await server.stop()
  }
}

async function count(
  server: TestServer,
  runs: number,
  run: (i: number) => Promise<unknown>,
): Promise<Counts> {
  const counts = await server.measure(async () => {
    for (let i = 0; i < runs; i += 1) await run(i)
  })
  const perRun = Object.entries(counts).map(([name, value]) => [name, Number(value) / runs])
  return Object.fromEntries(perRun) as Counts
}
