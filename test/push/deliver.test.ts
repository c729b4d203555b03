// When pushes go out, are tried again and are given up, by a clock that the tests turn.

import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { JsonObject } from '../../src/matrix/json.ts'
import { objectProperty, property } from '../../src/matrix/json.ts'
import type { Pusher, PushDeps, Pushes } from '../../src/push/context.ts'
import { markReady, pump, resume, whenIdle } from '../../src/push/deliver.ts'
import type { GatewayAnswer } from '../../src/push/gateway.ts'
import { openPushes, pushersOf, setPusher } from '../../src/push/pushers.ts'
import { queuePush, wasQueued } from '../../src/push/queue.ts'
import { hubMigrations } from '../../src/hub/schema.ts'
import { memorySql } from '../support/memory-sql.ts'

const minute = 60_000
const day = 24 * 60 * minute
const uid = 7
const start = 1_000_000_000_000

const ok: GatewayAnswer = { status: 200, rejected: [] }

let clock: number
let read: number
let told: { url: string; eventId: unknown; unread: unknown }[]
let answer: (url: string) => Promise<GatewayAnswer>
let later: (() => void)[]
let alarms: number[]
let deps: PushDeps
let pushes: Pushes

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue(undefined)
  clock = start
  read = 0
  told = []
  answer = async () => ok
  later = []
  alarms = []
  const sql = memorySql()
  const tables = hubMigrations.map(({ sql: text }) => text).join('\n')
  for (const table of ['pushers', 'pushes', 'email_pushers']) {
    sql.exec(new RegExp(`CREATE TABLE ${table} [^;]*`).exec(tables)?.[0] ?? 'no such table')
  }
  deps = {
    sql,
    now: () => clock,
    random: () => 0.5,
    later: (_, run) => void later.push(run),
    setAlarm: (time) => void alarms.push(time),
    notify: async (url, body) => {
      const notification = objectProperty(body, 'notification')
      const unread = property(objectProperty(notification, 'counts'), 'unread')
      told.push({ url, eventId: property(notification, 'event_id'), unread })
      return await answer(url)
    },
    mail: async () => undefined,
    mailAfterMs: 10 * minute,
    unread: () => 3,
    hasRead: (_, { roomPosition }) => roomPosition <= read,
    connections: 4,
    firstBackOffMs: minute,
    lookAfterMs: 30 * minute,
  }
  pushes = openPushes(deps)
})

function addPusher(pushkey: string, data: JsonObject = { url: `https://${pushkey}` }): Pusher {
  const names = { appDisplayName: 'App', deviceDisplayName: 'Phone', lang: 'en' }
  setPusher(pushes, uid, 'DEVICE', { appId: 'app', pushkey, ...names, data })
  const added = pushersOf(pushes, uid).find(({ settings }) => settings.pushkey === pushkey)
  if (!added) throw new Error('no pusher')
  return added
}

/** Queues an event at a position and lets what is due go out. */
async function push(pusher: Pusher, position: number): Promise<void> {
  const about = { event_id: `$${position}` }
  queuePush(pushes, pusher, { position, ts: clock, rid: 1, roomPosition: position, notification: { about } })
  wasQueued(pushes, pusher)
  await run()
}

async function run(): Promise<void> {
  for (const pusher of pushersOf(pushes, uid)) markReady(pushes, pusher)
  pump(pushes)
  await whenIdle(pushes)
}

/** Fails for good: the quick retry is over as well. */
async function failFor(pusher: Pusher, position: number): Promise<void> {
  await push(pusher, position)
  clock += 2_000
  later.splice(0).forEach((again) => again())
  await whenIdle(pushes)
}

/** Turns the clock to the alarm and lets it go off. */
async function alarm(): Promise<void> {
  clock = Math.max(clock, alarms.at(-1) ?? 0)
  pushes.alarmAt = undefined
  resume(pushes)
  await whenIdle(pushes)
}

const rowsLeft = () => deps.sql.exec('SELECT * FROM pushes').toArray().length
const eventsTold = () => told.map(({ eventId }) => eventId)
const down = () => Promise.reject<GatewayAnswer>(new Error('down'))

it('a push goes out once and leaves nothing behind', async () => {
  await push(addPusher('a'), 1)
  expect(told).toEqual([{ url: 'https://a', eventId: '$1', unread: 3 }])
  expect(rowsLeft()).toBe(0)
})

describe('a gateway that is down', () => {
  it('is tried once more at once, then after pauses that double up to an hour', async () => {
    answer = down
    const pusher = addPusher('a')
    await failFor(pusher, 1)
    const pauses = [pusher.retryAt - clock]
    while (pauses.length < 9) {
      const before = told.length
      await alarm()
      // The alarm may have come for something else.
      if (told.length > before) pauses.push(pusher.retryAt - clock)
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 60, 60, 60].map((minutes) => minutes * minute))
    expect(told).toHaveLength(2 + 8)
  })

  it('is not asked for each event', async () => {
    answer = down
    const pusher = addPusher('a')
    await failFor(pusher, 1)
    for (let position = 2; position < 20; position++) await push(pusher, position)
    expect(told).toHaveLength(2)
  })

  it('gets in order what has waited when it is back', async () => {
    answer = down
    const pusher = addPusher('a')
    await failFor(pusher, 1)
    await push(pusher, 2)
    await push(pusher, 3)
    answer = async () => ok
    told = []
    await alarm()
    expect(eventsTold()).toEqual(['$1', '$2', '$3'])
    expect(pusher).toMatchObject({ failures: 0, retryAt: 0, waiting: 0 })
    expect(rowsLeft()).toBe(0)
  })

  it('is not told of what was read meanwhile', async () => {
    answer = down
    const pusher = addPusher('a')
    await failFor(pusher, 1)
    await push(pusher, 2)
    await push(pusher, 3)
    answer = async () => ok
    told = []
    read = 2
    await alarm()
    expect(eventsTold()).toEqual(['$3'])
    expect(rowsLeft()).toBe(0)
  })

  it('is not told of what is older than a day', async () => {
    answer = down
    const pusher = addPusher('a')
    await failFor(pusher, 1)
    answer = async () => ok
    told = []
    clock += day
    await push(pusher, 2)
    expect(eventsTold()).toEqual(['$2'])
    expect(rowsLeft()).toBe(0)
  })

  it('has a hundred pushes waiting at most, the newest', async () => {
    answer = down
    const pusher = addPusher('a')
    await failFor(pusher, 1)
    for (let position = 2; position <= 150; position++) await push(pusher, position)
    expect(rowsLeft()).toBe(100)
    answer = async () => ok
    told = []
    await alarm()
    expect(eventsTold()[0]).toBe('$51')
    expect(eventsTold()).toHaveLength(100)
  })

  it('takes half of the connections at most', async () => {
    const dead = Array.from({ length: 6 }, (_, i) => addPusher(`dead${i}`))
    answer = down
    for (const pusher of dead) await failFor(pusher, 1)
    clock += day / 2
    const hanging: (() => void)[] = []
    answer = (url) =>
      url.includes('dead') ? new Promise((resolve) => hanging.push(() => resolve(ok))) : Promise.resolve(ok)
    resume(pushes)
    const alive = addPusher('alive')
    queuePush(pushes, alive, { position: 1, ts: clock, rid: 1, roomPosition: 1, notification: { about: {} } })
    wasQueued(pushes, alive)
    markReady(pushes, alive)
    pump(pushes)
    await vi.waitFor(() => expect(told.at(-1)?.url).toBe('https://alive'))
    expect(hanging).toHaveLength(2)
    while (pushes.active > 0) {
      hanging.splice(0).forEach((settle) => settle())
      await new Promise((resolve) => setTimeout(resolve, 0))
    }
    expect(rowsLeft()).toBe(0)
  })

  it('is tried at once when the client sets the pusher again', async () => {
    answer = down
    const pusher = addPusher('a')
    await failFor(pusher, 1)
    answer = async () => ok
    addPusher('a')
    await run()
    expect(rowsLeft()).toBe(0)
  })
})

describe('a gateway that answers', () => {
  it('with an error about the push three times gets the next one', async () => {
    let refusals = 0
    answer = async () => {
      const refuses = told.at(-1)?.eventId === '$1'
      refusals += refuses ? 1 : 0
      return { ...ok, status: refuses ? 400 : 200 }
    }
    const pusher = addPusher('a')
    await failFor(pusher, 1)
    await push(pusher, 2)
    for (let tries = 0; tries < 3; tries++) await alarm()
    expect(refusals).toBe(4)
    expect(eventsTold().at(-1)).toBe('$2')
    expect(rowsLeft()).toBe(0)
  })

  it('with an error of its own gets the same one again', async () => {
    answer = async () => ({ ...ok, status: 503 })
    const pusher = addPusher('a')
    await failFor(pusher, 1)
    for (let tries = 0; tries < 6; tries++) await alarm()
    expect(rowsLeft()).toBe(1)
  })

  it('that it is busy is left alone for as long as it says, but not for longer than an hour', async () => {
    answer = async () => ({ ...ok, status: 429, retryAfterMs: 10 * minute })
    const pusher = addPusher('a')
    await push(pusher, 1)
    expect(pusher.retryAt - clock).toBe(10 * minute)
    answer = async () => ({ ...ok, status: 429, retryAfterMs: day })
    await alarm()
    expect(pusher.retryAt - clock).toBe(60 * minute)
  })

  it('that a pushkey is bad ends its pusher, with all that waits for it', async () => {
    answer = down
    const pusher = addPusher('a')
    await failFor(pusher, 1)
    await push(pusher, 2)
    answer = async () => ({ ...ok, rejected: ['a'] })
    await alarm()
    expect(pushersOf(pushes, uid)).toEqual([])
    expect(rowsLeft()).toBe(0)
    expect(deps.sql.exec('SELECT * FROM pushers').toArray()).toEqual([])
  })

  it('that the pushkey of somebody else is bad changes nothing', async () => {
    answer = async () => ({ ...ok, rejected: ['b'] })
    addPusher('b')
    await push(addPusher('a'), 1)
    expect(pushersOf(pushes, uid)).toHaveLength(2)
  })
})

it('thousands of pushers whose users have read everything are done with one after the other', async () => {
  answer = down
  const pusher = addPusher('a')
  await failFor(pusher, 1)
  const others = Array.from({ length: 10_000 }, (_, i): Pusher => ({ ...pusher, id: i + 2, retryAt: 0 }))
  for (const other of others) {
    queuePush(pushes, other, { position: 1, ts: clock, rid: 1, roomPosition: 1, notification: {} })
  }
  pushes.pushers.set(uid, others)
  told = []
  read = 1
  resume(pushes)
  await whenIdle(pushes)
  expect(told).toEqual([])
  expect(others.every(({ waiting, busy }) => waiting === 0 && !busy)).toBe(true)
})

describe('after a crash', () => {
  it('what waits goes out, and who failed waits for their time', async () => {
    answer = down
    const failing = addPusher('a')
    await failFor(failing, 1)
    const other = addPusher('b')
    const lost = {
      position: 2,
      ts: clock,
      rid: 1,
      roomPosition: 2,
      notification: { about: { event_id: '$2' } },
    }
    queuePush(pushes, other, lost)
    told = []
    alarms = []
    answer = async () => ok
    pushes = openPushes(deps)
    resume(pushes)
    await whenIdle(pushes)
    expect(eventsTold()).toEqual(['$2'])
    expect(alarms).toEqual([failing.retryAt])
    await alarm()
    expect(eventsTold()).toEqual(['$2', '$1'])
  })
})
