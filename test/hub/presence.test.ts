// Presence over a Hub without a runtime: SQLite in memory, a clock that the tests turn, sockets that only note.

import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { HubContext } from '../../src/hub/context.ts'
import { internRoom, internUser } from '../../src/hub/interned.ts'
import { presenceContent, presenceSince } from '../../src/hub/presence.ts'
import { hubMigrations } from '../../src/hub/schema.ts'
import { deviceEnded, deviceSynced, setPresence, userActive } from '../../src/hub/set-presence.ts'
import { ephemeralSequence } from '../../src/hub/ephemeral.ts'
import { movedMark, type SyncRequest } from '../../src/hub/sync-request.ts'
import { setTyping } from '../../src/hub/set-typing.ts'
import { wake } from '../../src/hub/waiters.ts'
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

beforeEach(() => {
  vi.useFakeTimers()
  database = new DatabaseSync(':memory:')
  for (const { sql } of hubMigrations) database.exec(sql)
  hub = openHub()
  for (const userId of [alice, bob, carol]) internUser(hub, userId)
  join(alice)
  join(bob)
})
afterEach(() => {
  vi.clearAllTimers()
  vi.useRealTimers()
})

/** A Hub that starts now: with the database of the last one, but not its memory. */
function openHub(): HubContext {
  sockets = new Map()
  const exec = (query: string, ...params: (string | number | null)[]) => {
    const rows = database.prepare(query).all(...params)
    return { toArray: () => rows, one: () => rows[0], [Symbol.iterator]: () => rows[Symbol.iterator]() }
  }
  const context: Partial<HubContext> = {
    sql: { exec } as unknown as SqlStorage,
    now: () => Date.now(),
    roomsPerSync: 10,
    otherShards: [],
    sockets: (tag) => sockets.get(tag) ?? [],
    position: 1,
    bootPosition: 1,
    newsAt: new Map(),
  }
  return context as HubContext
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
    vi.advanceTimersByTime(30_000)
    expect(shown(alice)).toBe('online')
    vi.advanceTimersByTime(minute)
    expect(shown(alice)).toBe('offline')
    expect(presenceContent(hub, internUser(hub, alice))).toMatchObject({ last_active_ago: 90_000 })
  })

  it('stays online while a sync waits', () => {
    sync(alice)
    waitingSync(alice)
    vi.advanceTimersByTime(3 * minute)
    expect(shown(alice)).toBe('online')
    sockets.clear()
    vi.advanceTimersByTime(minute)
    expect(shown(alice)).toBe('offline')
  })

  it('is unavailable after five minutes without doing anything, until they do something', () => {
    sync(alice)
    for (let n = 0; n < 12; n += 1) {
      vi.advanceTimersByTime(30_000)
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
    vi.advanceTimersByTime(2 * minute)
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
      vi.advanceTimersByTime(30_000)
      sync(alice)
    }
    wake(hub, internUser(hub, bob))
    expect(waiter.answered()).toBe(false)
    expect(ephemeralSequence(hub)).toBeLessThanOrEqual(since + 1)
  })

  it('has no timer when nobody is online', () => {
    setPresence(hub, { userId: alice, deviceId: 'D', presence: 'offline' })
    expect(vi.getTimerCount()).toBe(0)
    sync(alice)
    sync(bob)
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(2 * minute)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('after a restart', () => {
  it('those who do not come back are told to be offline, once', () => {
    sync(alice)
    const since = ephemeralSequence(hub)
    vi.clearAllTimers()
    vi.advanceTimersByTime(minute)
    hub = openHub()
    sync(bob)
    waitingSync(bob)
    expect(told(bob, since)).toEqual([])
    vi.advanceTimersByTime(minute)
    expect(told(bob, since)).toEqual([`${alice} offline`])
    expect(told(bob, ephemeralSequence(hub))).toEqual([])
  })

  it('those who come back are told as they are', () => {
    sync(alice)
    const since = ephemeralSequence(hub)
    vi.clearAllTimers()
    vi.advanceTimersByTime(minute)
    hub = openHub()
    sync(bob)
    waitingSync(bob)
    sync(alice)
    waitingSync(alice)
    expect(told(bob, since)).toEqual([`${alice} online`])
    vi.advanceTimersByTime(minute)
    expect(told(bob, since)).toEqual([`${alice} online`])
  })
})
