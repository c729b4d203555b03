// The servers of a room at any time, over the rows of a room without a runtime.

import { DatabaseSync } from 'node:sqlite'
import * as fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { readWranglerConfig } from '../../scripts/wrangler-config.ts'
import type { Env } from '../../src/env.ts'
import type { RoomContext } from '../../src/room/context.ts'
import {
  appservicesAround,
  hasOtherServers,
  joinedAppservices,
  joinedServers,
  joinedServersBefore,
} from '../../src/room/joined-servers.ts'
import { roomMigrations } from '../../src/room/schema.ts'

const bridge = {
  id: 'bridge',
  url: 'http://127.0.0.1:9',
  as_token: 'as token',
  hs_token: 'hs token',
  sender_localpart: '_bridge_bot',
  namespaces: { users: [{ exclusive: true, regex: '@_bridge_' }] },
}
const env = {
  ...readWranglerConfig().vars,
  SERVER_NAME: 'us.test',
  APPSERVICE_BRIDGE: JSON.stringify(bridge),
} as unknown as Env

let database: DatabaseSync
let room: RoomContext

beforeEach(() => {
  database = new DatabaseSync(':memory:')
  for (const { sql } of roomMigrations) database.exec(sql)
  const exec = (query: string, ...params: (string | number | null)[]) => {
    const rows = database.prepare(query).all(...params)
    return { toArray: () => rows, one: () => rows[0], [Symbol.iterator]: () => rows[Symbol.iterator]() }
  }
  const context: Partial<RoomContext> = {
    sql: { exec } as unknown as SqlStorage,
    serverName: 'us.test' as RoomContext['serverName'],
    env,
    live: { position: 0, heads: [], told: {} },
  }
  room = context as RoomContext
})

/** The next event of the room: a membership, or a message. */
function next(userId?: string, membership?: string): number {
  const position = (room.live.position ?? 0) + 1
  room.live.position = position
  if (userId === undefined || membership === undefined) return position
  database.prepare("INSERT OR IGNORE INTO slots (type, state_key) VALUES ('m.room.member', ?)").run(userId)
  const slot = database.prepare('SELECT slot FROM slots WHERE state_key = ?').get(userId)?.['slot'] ?? 0
  database.prepare('INSERT INTO state VALUES (?, ?, ?, ?)').run(slot, position, position, membership)
  return position
}

describe('the servers before an event', () => {
  it('are those joined then, whatever has happened since', () => {
    next('@a:us.test', 'join')
    const join = next('@b:one.test', 'join')
    const first = next()
    const leave = next('@b:one.test', 'leave')
    next('@c:two.test', 'invite')
    const second = next()
    next('@c:two.test', 'join')
    expect(joinedServersBefore(room, [join, first, leave, second])).toEqual([
      ['us.test'],
      ['us.test', 'one.test'],
      ['us.test', 'one.test'],
      ['us.test'],
    ])
    expect([...joinedServers(room).keys()].toSorted()).toEqual(['two.test', 'us.test'])
  })

  it('are the same as if they had been asked for then', () => {
    const membership = fc.record({
      user: fc.constantFrom('@a:us.test', '@b:one.test', '@c:one.test', '@d:two.test', 'not a user id'),
      membership: fc.constantFrom('join', 'leave', 'ban', 'invite'),
    })
    fc.assert(
      fc.property(fc.array(fc.option(membership), { maxLength: 30 }), (events) => {
        database.exec('DELETE FROM state; DELETE FROM slots')
        room.live.position = 0
        // One room a run: what memory knows belongs to it.
        room = { ...room, live: { position: 0, heads: [], told: {} } }
        const seen = events.map((event) => {
          const before = [...joinedServers(room).keys()].toSorted()
          return { position: next(event?.user, event?.membership), before }
        })
        const asked = joinedServersBefore(
          room,
          seen.map(({ position }) => position),
        )
        expect(asked.map((servers) => servers.toSorted())).toEqual(seen.map(({ before }) => before))
      }),
    )
  })

  it('are nobody for no event', () => {
    expect(joinedServersBefore(room, [])).toEqual([])
  })
})

describe('the application services around an event', () => {
  it('are those that look after somebody who is joined before or after it', () => {
    const before = next('@a:us.test', 'join')
    const join = next('@_bridge_ann:us.test', 'join')
    const second = next('@_bridge_bot:us.test', 'join')
    const first = next('@_bridge_ann:us.test', 'leave')
    // Of another server, or only invited: they are nobody's.
    const between = next('@_bridge_ann:one.test', 'join')
    const last = next('@_bridge_bot:us.test', 'ban')
    const after = next('@_bridge_ben:us.test', 'invite')
    const positions = [before, join, second, first, between, last, after, next()]
    expect(appservicesAround(room, positions).map((ids) => [...ids])).toEqual([
      [],
      ['bridge'],
      ['bridge'],
      ['bridge'],
      ['bridge'],
      ['bridge'],
      [],
      [],
    ])
    expect(joinedAppservices(room).size).toBe(0)
    next('@_bridge_ben:us.test', 'join')
    expect([...joinedAppservices(room)]).toEqual([['bridge', 1]])
  })
})

it('a room has other servers while one of their users is joined', () => {
  next('@a:us.test', 'join')
  expect(hasOtherServers(room)).toBe(false)
  next('@b:one.test', 'join')
  expect(hasOtherServers(room)).toBe(true)
  next('@b:one.test', 'ban')
  expect(hasOtherServers(room)).toBe(false)
})
