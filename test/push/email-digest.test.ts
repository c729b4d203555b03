// When mails go out about what is unread, and what they tell, by a clock that the tests turn.

import { beforeEach, describe, expect, it, vi } from 'vitest'
import { hubMigrations } from '../../src/hub/schema.ts'
import type { EventId, RoomId } from '../../src/matrix/event.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import type { Pusher, PushDeps, Pushes } from '../../src/push/context.ts'
import { pump, resume, whenIdle } from '../../src/push/deliver.ts'
import { type Digest, digestNotification, scheduleDigest } from '../../src/push/email-digest.ts'
import { openPushes, pushersOf, removePushers, setPusher } from '../../src/push/pushers.ts'
import { queuePush, wasQueued } from '../../src/push/queue.ts'
import { memorySql } from '../support/memory-sql.ts'

const minute = 60_000
const hour = 60 * minute
const uid = 7
const start = 1_000_000_000_000

let clock: number
let read: Map<number, number>
let mails: { at: number; digest: Digest }[]
let fails: boolean
let alarmAt: number | undefined
let deps: PushDeps
let pushes: Pushes
let pusher: Pusher

const settings = {
  kind: 'email',
  appId: 'm.email',
  pushkey: 'alice@example.org',
  appDisplayName: 'Mail',
  deviceDisplayName: 'alice@example.org',
  lang: 'en',
  data: {},
} as const

beforeEach(() => {
  vi.spyOn(console, 'log').mockReturnValue(undefined)
  clock = start
  read = new Map()
  mails = []
  fails = false
  alarmAt = undefined
  const sql = memorySql()
  const tables = hubMigrations.map(({ sql: text }) => text).join('\n')
  for (const table of ['pushers', 'pushes', 'email_pushers']) {
    sql.exec(new RegExp(`CREATE TABLE ${table} [^;]*`).exec(tables)?.[0] ?? 'no such table')
  }
  deps = {
    sql,
    now: () => clock,
    random: () => 0.5,
    later: () => undefined,
    setAlarm: (time) => void (alarmAt = time),
    notify: () => Promise.reject(new Error('no gateway is asked')),
    mail: async (_, digest) => {
      if (fails) throw new Error('no mail goes out')
      mails.push({ at: clock - start, digest })
    },
    mailAfterMs: 10 * minute,
    unread: () => 3,
    hasRead: (_, { rid, roomPosition }) => roomPosition <= (read.get(rid) ?? 0),
    connections: 4,
    firstBackOffMs: minute,
    lookAfterMs: 30 * minute,
  }
  open()
  setPusher(pushes, uid, 'DEVICE', settings)
  open()
})

/** As after a start: with nothing but what is on disk. */
function open(): void {
  pushes = openPushes(deps)
  const [found] = pushersOf(pushes, uid)
  if (found) pusher = found
}

const event = (body: string): JsonObject => ({
  type: 'm.room.message',
  sender: '@bob:test',
  content: { msgtype: 'm.text', body },
})

let position = 0

/** Something is said in a room. */
function said(rid: number, body = 'hello'): number {
  position += 1
  const pushed = {
    eventId: '$event' as EventId,
    roomId: `!room${rid}:test` as RoomId,
    event: event(body),
    senderDisplayName: 'Bob',
    roomName: `Room ${rid}`,
  }
  const notification = digestNotification(pushed, '@alice:test', false)
  queuePush(pushes, pusher, { position, ts: clock, rid, roomPosition: position, notification })
  wasQueued(pushes, pusher)
  scheduleDigest(pushes, pusher)
  return position
}

/** Lets all alarms go off up to a time after the start. */
async function until(time: number): Promise<void> {
  for (;;) {
    if (alarmAt === undefined || alarmAt > start + time) break
    clock = Math.max(clock, alarmAt)
    alarmAt = undefined
    pushes.alarmAt = undefined
    resume(pushes)
    await whenIdle(pushes)
  }
  clock = start + time
  pump(pushes)
  await whenIdle(pushes)
}

const rowsLeft = () => deps.sql.exec('SELECT * FROM pushes').toArray().length
const times = () => mails.map(({ at }) => at)

describe('a mail', () => {
  it('comes ten minutes after something was said that stays unread, with what was said since', async () => {
    said(1, 'first')
    await until(9 * minute)
    said(1, 'second')
    said(2, 'elsewhere')
    expect(mails).toEqual([])
    await until(hour - minute)
    const entry = (text: string) => ({ sender: 'Bob', text })
    expect(mails).toEqual([
      {
        at: 10 * minute,
        digest: {
          rooms: [
            { name: 'Room 1', entries: [entry('first'), entry('second')], more: 0 },
            { name: 'Room 2', entries: [entry('elsewhere')], more: 0 },
          ],
          more: 0,
        },
      },
    ])
    expect(rowsLeft()).toBe(0)
  })

  it('does not come for what is read in time', async () => {
    read.set(1, said(1))
    await until(hour)
    expect(mails).toEqual([])
    expect(rowsLeft()).toBe(0)
  })

  it('comes after a restart as well', async () => {
    said(1)
    open()
    resume(pushes)
    await whenIdle(pushes)
    expect(mails).toEqual([])
    await until(hour)
    expect(times()).toEqual([10 * minute])
  })

  it('leaves out a room it has told of for an hour, then for four, then for half a day', async () => {
    for (let time = 0; time < 24 * hour; time += 5 * minute) {
      await until(time)
      said(1)
    }
    await until(24 * hour)
    const first = 10 * minute
    expect(times()).toEqual([first, first + hour, first + 5 * hour, first + 17 * hour])
    // The longest that anything waits is bounded, and so is how much.
    expect(rowsLeft()).toBeLessThanOrEqual(100)
  })

  it('tells of other rooms meanwhile', async () => {
    said(1)
    await until(15 * minute)
    said(1)
    said(2)
    await until(59 * minute)
    expect(mails.map(({ digest }) => digest.rooms.map(({ name }) => name))).toEqual([['Room 1'], ['Room 2']])
  })

  it('has short pauses again after a quiet day', async () => {
    said(1)
    await until(30 * hour)
    said(1)
    await until(31 * hour)
    said(1)
    await until(32 * hour)
    expect(times()).toEqual([10 * minute, 30 * hour + 10 * minute, 31 * hour + 10 * minute])
  })

  it('is tried again when it could not be sent, and then comes once', async () => {
    said(1)
    fails = true
    await until(12 * minute)
    fails = false
    await until(hour)
    expect(mails.length).toBe(1)
    expect(pusher.failures).toBe(0)
  })

  it('comes no more when its pusher is removed, and nothing stays behind', async () => {
    said(1)
    removePushers(pushes, () => true)
    await until(hour)
    expect(mails).toEqual([])
    for (const table of ['pushers', 'pushes', 'email_pushers']) {
      expect(deps.sql.exec(`SELECT * FROM ${table}`).toArray()).toEqual([])
    }
  })

  it('is not too long', async () => {
    for (let rid = 1; rid <= 12; rid++) {
      for (let n = 0; n < 8; n++) said(rid, `${n}`)
    }
    await until(hour)
    const { rooms, more } = mails[0]?.digest ?? { rooms: [], more: 0 }
    expect([rooms.length, more]).toEqual([10, 2])
    expect(rooms[0]).toMatchObject({ more: 3, entries: [{ text: '3' }, {}, {}, {}, { text: '7' }] })
  })
})

describe('an entry', () => {
  const entry = (pushed: JsonObject, isEncrypted = false) =>
    digestNotification(
      { eventId: '$event' as EventId, roomId: '!room:test' as RoomId, event: pushed },
      '@alice:test',
      isEncrypted,
    ).about

  it('has nothing of what is encrypted, nor of what is said in an encrypted room', () => {
    const encrypted = { type: 'm.room.encrypted', sender: '@bob:test', content: { ciphertext: 'secret' } }
    for (const about of [entry(encrypted), entry(event('secret'), true)]) {
      expect(about).toMatchObject({ sender: '@bob:test', text: 'an encrypted message' })
      expect(JSON.stringify(about)).not.toContain('secret')
    }
  })

  it('has the beginning of a message, and of other events that there is one', () => {
    expect(entry(event('x'.repeat(300)))).toMatchObject({ text: `${'x'.repeat(200)}…` })
    expect(entry({ type: 'm.room.topic', content: { topic: 'x' } })).toMatchObject({ text: 'something new' })
    const invite = { type: 'm.room.member', state_key: '@alice:test', content: { membership: 'invite' } }
    expect(entry(invite)).toMatchObject({ text: 'an invitation' })
  })
})
