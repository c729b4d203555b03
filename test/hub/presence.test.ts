// Presence over a Hub without a runtime: SQLite in memory, a clock that the tests turn, sockets that only note.

import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { applyOtherPresence } from '../../src/hub/apply-other-presence.ts'
import type { HubContext } from '../../src/hub/context.ts'
import { internRoom, internUser } from '../../src/hub/interned.ts'
import { lookAfterPresence } from '../../src/hub/look-after-presence.ts'
import { otherPresence } from '../../src/hub/others-presence.ts'
import { presenceContent, presenceSince } from '../../src/hub/presence.ts'
import { hubMigrations } from '../../src/hub/schema.ts'
import {
  deviceEnded,
  deviceSynced,
  eraseStatus,
  profileChanged,
  setPresence,
  userActive,
} from '../../src/hub/set-presence.ts'
import { ephemeralSequence } from '../../src/hub/ephemeral.ts'
import { movedMark, type SyncRequest } from '../../src/hub/sync-request.ts'
import { setTyping } from '../../src/hub/set-typing.ts'
import { wake, waiterLeft } from '../../src/hub/waiters.ts'
import type { RoomId, UserId } from '../../src/matrix/event.ts'

const [alice, bob, carol] = ['@alice:test.local', '@bob:test.local', '@carol:test.local'] as [
  UserId,
  UserId,
  UserId,
]
const roomId = '!room:test.local' as RoomId
const minute = 60_000

interface Waiter {
  readonly socket: WebSocket
  readonly answered: () => boolean
}

let database: DatabaseSync
let sockets: Map<string, WebSocket[]>
let hub: HubContext
/** When the alarm comes, as the disk has it. */
let alarmAt: number | undefined
/** Whether the Hub sleeps between any two things that it is asked. */
let sleepy: boolean
/** Rows written for presence, and how often the alarm came. */
let costs: { rows: number; alarms: number }

beforeEach(() => {
  vi.useFakeTimers()
  alarmAt = undefined
  sleepy = false
  costs = { rows: 0, alarms: 0 }
  database = new DatabaseSync(':memory:')
  for (const { sql } of hubMigrations) database.exec(sql)
  sockets = new Map()
  hub = openHub()
  for (const userId of [alice, bob, carol]) internUser(hub, userId)
  join(alice)
  join(bob)
})
afterEach(() => {
  vi.clearAllTimers()
  vi.useRealTimers()
})

/** A Hub that starts now: with the database, the alarm and the sockets of the last one, but not its memory. */
function openHub(): HubContext {
  const exec = (query: string, ...params: (string | number | null)[]) => {
    const rows = database.prepare(query).all(...params)
    if (/^\s*(INSERT|UPDATE|DELETE).* presence(_of_others)? /.test(query)) costs.rows += 1
    return { toArray: () => rows, one: () => rows[0], [Symbol.iterator]: () => rows[Symbol.iterator]() }
  }
  const context: Partial<HubContext> = {
    sql: { exec } as unknown as SqlStorage,
    storage: { setAlarm } as unknown as DurableObjectStorage,
    alarmAt,
    now: () => Date.now(),
    roomsPerSync: 10,
    otherShards: [],
    appservices: [],
    sockets: (tag) => sockets.get(tag) ?? [],
    position: 1,
    bootPosition: 1,
    newsAt: new Map(),
  }
  return context as HubContext
}

async function setAlarm(time: number): Promise<void> {
  alarmAt = time
  costs.rows += 1
}

/** Lets time pass, in which the alarm comes. */
function pass(ms: number): void {
  const end = Date.now() + ms
  while (alarmAt !== undefined && alarmAt <= end) {
    vi.advanceTimersByTime(Math.max(0, alarmAt - Date.now()))
    alarmAt = undefined
    costs.alarms += 1
    if (sleepy) hub = openHub()
    hub.alarmAt = undefined
    lookAfterPresence(hub)
  }
  vi.advanceTimersByTime(end - Date.now())
  if (sleepy) hub = openHub()
}

/** The server goes down and comes up again: nobody's sync waits any longer. */
function restart(): void {
  sockets.clear()
  hub = openHub()
}

function join(userId: UserId): void {
  database
    .prepare("INSERT INTO user_room (uid, rid, membership, log_pos, room_pos) VALUES (?, ?, 'join', 0, 0)")
    .run(internUser(hub, userId), internRoom(hub, roomId))
}

function request(userId: UserId, more: Partial<SyncRequest> = {}): SyncRequest {
  return { userId, deviceId: 'D', generation: 1, fullState: false, includeLeave: false, ...more }
}

function sync(userId: UserId, state: 'online' | 'unavailable' | 'offline' = 'online', deviceId = 'D'): void {
  deviceSynced(hub, request(userId, { deviceId, ...(state === 'offline' ? {} : { setPresence: state }) }))
}

/** A sync that waits from now on. */
function waitingSync(userId: UserId): Waiter {
  const since = { log: hub.position, ephemeral: ephemeralSequence(hub) }
  let attachment: unknown = request(userId, { since, setPresence: 'online' })
  let answered = false
  const socket = {
    deserializeAttachment: () => attachment,
    serializeAttachment: (value: unknown) => (attachment = value),
    // Only a plan ends the wait.
    send: (message: string) => (answered ||= !message.startsWith(movedMark)),
    close: () => undefined,
  } as unknown as WebSocket
  sockets.set(`u${internUser(hub, userId)}`, [socket])
  return { socket, answered: () => answered }
}

const shown = (userId: UserId) => presenceContent(hub, internUser(hub, userId)).presence

function told(userId: UserId, since?: number): string[] {
  return presenceSince(hub, internUser(hub, userId), since, []).map(
    ({ sender, content }) => `${sender} ${content.presence}`,
  )
}

describe('a user', () => {
  it('is offline until they sync, and again some time after their last sync', () => {
    expect(shown(alice)).toBe('offline')
    sync(alice)
    expect(presenceContent(hub, internUser(hub, alice))).toEqual({
      presence: 'online',
      last_active_ago: 0,
      currently_active: true,
    })
    pass(30_000)
    expect(shown(alice)).toBe('online')
    pass(minute)
    expect(shown(alice)).toBe('offline')
    expect(presenceContent(hub, internUser(hub, alice))).toMatchObject({ last_active_ago: 90_000 })
  })

  it('stays online while a sync waits', () => {
    sync(alice)
    waitingSync(alice)
    pass(3 * minute)
    expect(shown(alice)).toBe('online')
    sockets.clear()
    pass(minute)
    expect(shown(alice)).toBe('offline')
  })

  it('is unavailable after five minutes without doing anything, until they do something', () => {
    sync(alice)
    for (let n = 0; n < 12; n += 1) {
      pass(30_000)
      sync(alice)
    }
    expect(shown(alice)).toBe('unavailable')
    userActive(hub, alice)
    expect(shown(alice)).toBe('online')
  })

  it('is shown as the device that is most there', () => {
    sync(alice, 'unavailable', 'PHONE')
    expect(shown(alice)).toBe('unavailable')
    sync(alice, 'online', 'DESK')
    expect(shown(alice)).toBe('online')
    sync(alice, 'unavailable', 'PHONE')
    expect(shown(alice)).toBe('online')
    deviceEnded(hub, internUser(hub, alice), 'DESK')
    expect(shown(alice)).toBe('unavailable')
  })

  it('who does not want to be seen stays offline, whatever they do', () => {
    sync(alice, 'offline')
    userActive(hub, alice)
    expect(shown(alice)).toBe('offline')
    expect(presenceContent(hub, internUser(hub, alice))).not.toHaveProperty('last_active_ago')
  })

  it('has a status message until another state is set', () => {
    setPresence(hub, { userId: alice, deviceId: 'D', presence: 'unavailable', statusMsg: 'at lunch' })
    sync(alice)
    expect(presenceContent(hub, internUser(hub, alice))).toMatchObject({ status_msg: 'at lunch' })
    setPresence(hub, { userId: alice, deviceId: 'D', presence: 'online' })
    expect(presenceContent(hub, internUser(hub, alice))).not.toHaveProperty('status_msg')
  })
})

describe('those who share a room', () => {
  it('are told at first of all who are not offline, and others are not', () => {
    sync(alice)
    setPresence(hub, { userId: bob, deviceId: 'D', presence: 'offline', statusMsg: 'gone' })
    expect(told(bob)).toEqual([`${alice} online`])
    expect(told(carol)).toEqual([])
    // Nobody is told of themselves.
    expect(told(alice)).toEqual([])
  })

  it('are told later of changes only', () => {
    sync(alice)
    const since = ephemeralSequence(hub)
    expect(told(bob, since)).toEqual([])
    setPresence(hub, { userId: alice, deviceId: 'D', presence: 'unavailable' })
    expect(told(bob, since)).toEqual([`${alice} unavailable`])
    setPresence(hub, { userId: alice, deviceId: 'D', presence: 'offline' })
    expect(told(bob, since)).toEqual([`${alice} offline`])
    expect(told(carol, since)).toEqual([])
  })

  it('are woken by a change', () => {
    const [bobs, carols] = [waitingSync(bob), waitingSync(carol)]
    sync(alice)
    expect(bobs.answered()).toBe(true)
    expect(carols.answered()).toBe(false)
  })

  it('are told of a new status message, and not of the same one again', () => {
    const set = (statusMsg: string) =>
      setPresence(hub, { userId: alice, deviceId: 'D', presence: 'online', statusMsg })
    set('here')
    const since = ephemeralSequence(hub)
    set('here')
    expect(told(bob, since)).toEqual([])
    set('there')
    expect(told(bob, since)).toEqual([`${alice} online`])
  })

  it('are told of those who became offline and of typing by one sequence', () => {
    sync(alice)
    const since = ephemeralSequence(hub)
    setTyping(hub, { userId: alice, roomId, typing: true, timeout: 1000 })
    expect(ephemeralSequence(hub)).toBe(since + 1)
    pass(2 * minute)
    expect(told(bob, since + 1)).toEqual([`${alice} offline`])
  })
})

describe('a server on which nothing happens', () => {
  it('wakes nobody for syncs that change nothing', () => {
    sync(alice)
    sync(bob)
    const since = ephemeralSequence(hub)
    const waiter = waitingSync(bob)
    for (let n = 0; n < 6; n += 1) {
      pass(30_000)
      sync(alice)
    }
    wake(hub, internUser(hub, bob))
    expect(waiter.answered()).toBe(false)
    expect(ephemeralSequence(hub)).toBeLessThanOrEqual(since + 1)
  })

  it('has no alarm when nobody is online, and no timer ever', () => {
    setPresence(hub, { userId: alice, deviceId: 'D', presence: 'offline' })
    expect(alarmAt).toBeUndefined()
    sync(alice)
    sync(bob)
    expect(alarmAt).toBe(Date.now() + minute)
    pass(3 * minute)
    expect(alarmAt).toBeUndefined()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('costs a row and an alarm a minute, for all who are there together', () => {
    sleepy = true
    for (const userId of [alice, bob, carol]) sync(userId)
    for (const userId of [alice, bob, carol]) waitingSync(userId)
    // Each of them is seen for the first time; the alarm is set.
    expect(costs).toEqual({ rows: 4, alarms: 0 })
    pass(4 * minute)
    expect(costs).toEqual({ rows: 8, alarms: 4 })
    for (let n = 0; n < 10; n += 1) {
      for (const userId of [alice, bob, carol]) sync(userId)
    }
    expect(costs).toEqual({ rows: 8, alarms: 4 })
  })

  it('notes what users do once a minute', () => {
    sync(alice)
    waitingSync(alice)
    const before = costs.rows
    for (let n = 0; n < 30; n += 1) {
      pass(10_000)
      userActive(hub, alice)
    }
    // With the alarm.
    expect(costs.rows - before).toBe(10)
  })
})

describe('through sleep', () => {
  beforeEach(() => {
    sleepy = true
  })

  it('states, status messages and profiles are what they were', () => {
    setPresence(hub, { userId: alice, deviceId: 'D', presence: 'unavailable', statusMsg: 'at lunch' })
    profileChanged(hub, alice, { displayname: 'Alice' })
    waitingSync(alice)
    pass(minute)
    const content = presenceContent(hub, internUser(hub, alice))
    expect(content).toEqual({
      presence: 'unavailable',
      last_active_ago: minute,
      status_msg: 'at lunch',
      displayname: 'Alice',
    })
    eraseStatus(hub, internUser(hub, alice))
    pass(0)
    expect(presenceContent(hub, internUser(hub, alice))).toEqual({
      presence: 'unavailable',
      last_active_ago: minute,
    })
  })

  it('users stay online while a sync waits, and are idle after five minutes', () => {
    sync(alice)
    waitingSync(alice)
    pass(4.5 * minute)
    expect(shown(alice)).toBe('online')
    pass(minute)
    expect(shown(alice)).toBe('unavailable')
    userActive(hub, alice)
    pass(minute)
    expect(shown(alice)).toBe('online')
  })

  it('users who do something do not become idle', () => {
    sync(alice)
    waitingSync(alice)
    const since = ephemeralSequence(hub)
    for (let n = 0; n < 20; n += 1) {
      pass(1.9 * minute)
      userActive(hub, alice)
    }
    expect(told(bob, since)).toEqual([])
  })

  it.each([0, 1, 10, 20, 30, 44, 46, 50, 59, 60])(
    'users are offline about two minutes after a last sync %i seconds into the minute, and not sooner than 45 seconds',
    (seconds) => {
      sync(bob)
      waitingSync(bob)
      pass(seconds * 1000)
      sync(alice)
      pass(44_000)
      expect(shown(alice)).toBe('online')
      pass(90_000)
      expect(shown(alice)).toBe('offline')
    },
  )

  it('users stay online who are between two syncs at each look', () => {
    sync(alice)
    const since = ephemeralSequence(hub)
    for (let n = 0; n < 20; n += 1) {
      waitingSync(alice)
      pass(minute - 1000)
      sockets.clear()
      pass(2000)
      sync(alice)
      pass(0)
    }
    expect(told(bob, since)).toEqual([`${alice} unavailable`])
    expect(costs.rows).toBeLessThanOrEqual(2 + 20 * 3 + 1)
  })

  it('a sync that ended a moment ago is not missed', () => {
    sleepy = false
    sync(alice)
    const { socket } = waitingSync(alice)
    pass(minute - 1000)
    hub = openHub()
    waiterLeft(hub, socket)
    sockets.clear()
    const { rows } = costs
    pass(1000)
    // The alarm alone.
    expect(costs.rows).toBe(rows + 1)
    expect(shown(alice)).toBe('online')
  })

  it('others are told again every 25 minutes, and no row is written for them in between', () => {
    sync(alice)
    waitingSync(alice)
    pass(6 * minute)
    const { rows } = costs
    pass(60 * minute)
    expect(costs.rows).toBe(rows + 60 + 2)
  })

  it('the sequence goes on rising, also when the clock goes back', () => {
    sync(alice)
    const before = ephemeralSequence(hub)
    pass(0)
    expect(ephemeralSequence(hub)).toBeGreaterThanOrEqual(before)
    vi.setSystemTime(Date.now() - 10 * minute)
    pass(0)
    expect(ephemeralSequence(hub)).toBe(before)
    sync(bob)
    expect(told(alice, before)).toEqual([`${bob} online`])
  })

  it('whoever syncs later is told of what changed before the sleep', () => {
    const since = ephemeralSequence(hub)
    pass(1)
    sync(alice)
    waitingSync(alice)
    pass(10_000)
    expect(told(bob, since)).toEqual([`${alice} online`])
    expect(told(bob)).toEqual([`${alice} online`])
    expect(told(bob, ephemeralSequence(hub))).toEqual([])
  })
})

describe('users of other servers', () => {
  const remote = '@remote:elsewhere.test' as UserId
  const tell = (presence: 'online' | 'offline', statusMsg?: string) =>
    applyOtherPresence(hub, [
      {
        userId: remote,
        presence,
        lastActiveAgo: 0,
        currentlyActive: true,
        ...(statusMsg === undefined ? {} : { statusMsg }),
      },
    ])
  const seen = () => otherPresence(hub, internUser(hub, bob), remote)?.presence

  beforeEach(() => {
    database
      .prepare('INSERT INTO other_members (rid, user_id) VALUES (?, ?)')
      .run(internRoom(hub, roomId), remote)
  })

  it('are gone when nothing was heard of them for half an hour, as the next sync finds', () => {
    tell('online')
    pass(20 * minute)
    tell('online')
    const since = ephemeralSequence(hub)
    pass(20 * minute)
    sync(bob, 'offline')
    expect(seen()).toBe('online')
    const waiter = waitingSync(bob)
    pass(10 * minute)
    sync(alice, 'offline')
    expect(waiter.answered()).toBe(true)
    expect(seen()).toBe('offline')
    expect(told(bob, since)).toEqual([`${remote} offline`])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('are known through sleep, with their status messages, and are gone as if there had been none', () => {
    sleepy = true
    const since = ephemeralSequence(hub)
    tell('online', 'at lunch')
    pass(minute)
    expect(otherPresence(hub, internUser(hub, bob), remote)).toEqual({
      presence: 'online',
      last_active_ago: minute,
      currently_active: true,
      status_msg: 'at lunch',
    })
    expect(told(bob)).toEqual([`${remote} online`])
    expect(told(bob, since)).toEqual([`${remote} online`])
    expect(told(bob, ephemeralSequence(hub))).toEqual([])
    tell('offline')
    pass(0)
    expect(told(bob, since)).toEqual([`${remote} offline`])
    tell('online')
    pass(29 * minute)
    sync(bob, 'offline')
    expect(seen()).toBe('online')
    pass(minute)
    sync(bob, 'offline')
    expect(seen()).toBe('offline')
  })

  it('stay there through sleep as long as their server repeats it', () => {
    sleepy = true
    for (let n = 0; n < 5; n += 1) {
      tell('online')
      pass(25 * minute)
      sync(bob, 'offline')
      expect(seen()).toBe('online')
    }
  })

  it('the sequence goes on rising after those who were told of last, also when the clock goes back', () => {
    sleepy = true
    tell('online')
    const before = ephemeralSequence(hub)
    vi.setSystemTime(Date.now() - 10 * minute)
    pass(0)
    expect(ephemeralSequence(hub)).toBe(before)
  })

  it('cost a row for each call that tells of changes, whatever their number, and none where nothing changes', () => {
    const others = Array.from({ length: 1200 }, (_, n) => `@other${n}:elsewhere.test` as UserId)
    for (const userId of others) {
      database
        .prepare('INSERT INTO other_members (rid, user_id) VALUES (?, ?)')
        .run(internRoom(hub, roomId), userId)
    }
    const tellAll = (presence: 'online' | 'offline', statusMsg = '') =>
      applyOtherPresence(
        hub,
        others.map((userId) => ({ userId, presence, lastActiveAgo: 0, currentlyActive: true, statusMsg })),
      )
    // Nobody thought that they were there.
    tell('offline')
    expect(costs.rows).toBe(0)
    tellAll('online', 'é'.repeat(10_000))
    expect(costs.rows).toBe(1)
    const [{ length } = { length: 0 }] = database
      .prepare('SELECT length(CAST(users AS BLOB)) AS length FROM presence_of_others')
      .all() as { length: number }[]
    // A row has two megabytes at most. The newest are kept.
    expect(length).toBeLessThan(1_000_000)
    sleepy = true
    pass(0)
    expect(told(bob)).toHaveLength(1000)
    expect(told(bob)).toContain(`${others.at(-1)} online`)
    tell('online')
    for (let n = 0; n < 9; n += 1) {
      pass(minute)
      tell('online')
    }
    expect(costs.rows).toBe(2)
    // What is kept would grow too old.
    pass(minute)
    tell('online')
    expect(costs.rows).toBe(3)
  })
})

describe('after a restart', () => {
  it('those who do not come back are told to be offline, once', () => {
    sync(alice)
    const since = ephemeralSequence(hub)
    // The server is down when the alarm is due.
    vi.advanceTimersByTime(minute)
    restart()
    sync(bob)
    waitingSync(bob)
    pass(0)
    expect(told(bob, since)).toEqual([])
    pass(minute)
    expect(told(bob, since)).toEqual([`${alice} offline`])
    expect(told(bob, ephemeralSequence(hub))).toEqual([])
  })

  it('those who come back are told of as if nothing had happened', () => {
    sync(alice)
    const since = ephemeralSequence(hub)
    vi.advanceTimersByTime(minute)
    restart()
    sync(bob)
    waitingSync(bob)
    pass(0)
    sync(alice)
    waitingSync(alice)
    expect(told(bob, since)).toEqual([])
    pass(minute)
    expect(told(bob, since)).toEqual([])
    expect(told(bob)).toEqual([`${alice} online`])
  })
})
