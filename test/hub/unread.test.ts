// Unread counts over a Hub's log in memory, held against the plainest way to count: everything, each time.

import { DatabaseSync } from 'node:sqlite'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { HubContext } from '../../src/hub/context.ts'
import { internRoom, internUser } from '../../src/hub/interned.ts'
import { hubMigrations } from '../../src/hub/schema.ts'
import { countNoMore } from '../../src/hub/taken-back.ts'
import { unreadCounts, whatIsRead } from '../../src/hub/unread.ts'
import type { EventId, RoomId, UserId } from '../../src/matrix/event.ts'

const alice = '@alice:test.local' as UserId
const bob = '@bob:test.local' as UserId
const roomId = '!room:test.local' as RoomId
const roots = [undefined, '$one', '$two']

type Step =
  | { readonly kind: 'said'; readonly thread: number; readonly highlight: boolean; readonly times: number }
  | { readonly kind: 'spoke'; readonly thread: number; readonly quietly: boolean }
  | { readonly kind: 'read'; readonly thread: number | undefined; readonly back: number }
  | { readonly kind: 'takenBack'; readonly which: number }
  | { readonly kind: 'counted' }

const thread = fc.nat({ max: roots.length - 1 })
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('said' as const),
    thread,
    highlight: fc.boolean(),
    // Some tails are long enough to be folded.
    times: fc.oneof(fc.nat({ max: 5 }), fc.constant(300)),
  }),
  fc.record({ kind: fc.constant('spoke' as const), thread, quietly: fc.boolean() }),
  fc.record({
    kind: fc.constant('read' as const),
    thread: fc.option(thread, { nil: undefined }),
    back: fc.nat({ max: 10 }),
  }),
  fc.record({ kind: fc.constant('takenBack' as const), which: fc.nat() }),
  fc.constant({ kind: 'counted' as const }),
)

/** Someone else's event, which counts until it is read. */
interface Said {
  readonly at: number
  readonly thread: number
  readonly highlight: boolean
  read: boolean
}

/** A room that Bob is in with Alice. */
function newRoom() {
  const database = new DatabaseSync(':memory:')
  for (const { sql } of hubMigrations) database.exec(sql)
  const exec = (query: string, ...params: (string | number | null)[]) => {
    const rows = database.prepare(query).all(...params)
    return { toArray: () => rows, one: () => rows[0], [Symbol.iterator]: () => rows[Symbol.iterator]() }
  }
  const hub = { sql: { exec } as unknown as SqlStorage, position: 0 } as HubContext
  const [uid, rid] = [internUser(hub, bob), internRoom(hub, roomId)]
  const all: Said[] = []
  exec(
    "INSERT INTO user_room (uid, rid, membership, log_pos, room_pos) VALUES (?, ?, 'join', 0, 0)",
    uid,
    rid,
  )

  const log = (notify: object | null, reader: number | null, readerThread: string | null) => {
    hub.position += 1
    exec(
      `INSERT INTO log (pos, rid, from_pos, to_pos, event_id, notify, reader, reader_thread)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      hub.position,
      rid,
      hub.position - 1,
      hub.position,
      `$${hub.position}`,
      notify === null ? null : JSON.stringify(notify),
      reader,
      readerThread,
    )
  }
  const receipt = (type: string, where: string, at: number) =>
    exec(
      `INSERT INTO receipts (rid, user_id, type, thread, event_id, ts, room_pos, pos) VALUES (?, ?, ?, ?, '', 0, ?, 0)
       ON CONFLICT (rid, user_id, type, thread) DO UPDATE SET room_pos = max(room_pos, excluded.room_pos)`,
      rid,
      bob,
      type,
      where,
      at,
    )
  const rootOf = (n: number) => roots[n] ?? null
  const read = (of: number | undefined, upTo: number) => {
    for (const said of all) if (said.at <= upTo && (of === undefined || of === said.thread)) said.read = true
  }
  return {
    hub,
    uid,
    rid,
    all,
    said(of: number, highlight: boolean): void {
      const root = rootOf(of)
      log(
        { x: [internUser(hub, alice)], h: highlight ? [uid] : [], ...(root ? { t: root } : {}) },
        null,
        null,
      )
      all.push({ at: hub.position, thread: of, highlight, read: false })
    },
    /** `old`: as it was noted before the log told who has read. `quietly`: nobody is notified of it. */
    spoke(of: number, { quietly, old }: { readonly quietly: boolean; readonly old: boolean }): void {
      const root = rootOf(of)
      log(
        quietly ? null : { x: [uid], h: [], ...(root ? { t: root } : {}) },
        old ? null : uid,
        old ? null : root,
      )
      if (old) receipt('own', root ?? 'main', hub.position)
      read(of, hub.position)
    },
    receipt(of: number | undefined, at: number): void {
      receipt('m.read', of === undefined ? '' : (rootOf(of) ?? 'main'), at)
      read(of, at)
    },
    takenBack(which: number): void {
      const [said] = all.splice(which, 1)
      // What takes it back is an event too.
      log(null, null, null)
      if (said) countNoMore(hub, rid, `$${said.at}` as EventId)
    },
    counted: () => unreadCounts(hub, uid, rid, hub.position),
    expected() {
      const pair = (list: readonly Said[]) => ({
        notifications: list.length,
        highlights: list.filter(({ highlight }) => highlight).length,
      })
      const unread = all.filter((said) => !said.read)
      const threads = [1, 2].flatMap((n) => {
        const list = unread.filter((said) => said.thread === n)
        return list.length === 0 ? [] : [[rootOf(n) ?? '', pair(list)] as const]
      })
      return { ...pair(unread), threads: Object.fromEntries(threads) }
    },
  }
}

describe('unread counts', () => {
  it('are right whatever is said, spoken, read and counted in between, also in folders of before', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), fc.nat({ max: 25 }), (steps, oldUntil) => {
        const room = newRoom()
        for (const [n, one] of steps.entries()) {
          if (one.kind === 'said') {
            for (let times = 0; times < one.times; times += 1) room.said(one.thread, one.highlight)
          } else if (one.kind === 'spoke') room.spoke(one.thread, { ...one, old: n < oldUntil })
          else if (one.kind === 'read') room.receipt(one.thread, Math.max(0, room.hub.position - one.back))
          else if (one.kind === 'takenBack')
            room.takenBack(room.all.length === 0 ? 0 : one.which % room.all.length)
          else expect(room.counted()).toEqual(room.expected())
        }
        expect(room.counted()).toEqual(room.expected())
        // Of the newest first, as they are listed, and of each alone, as before it is pushed.
        const listed = whatIsRead(room.hub, room.uid, room.rid)
        for (const { at, thread: of, read } of room.all.slice(-50).toReversed()) {
          expect(listed(roots[of], at)).toBe(read)
          expect(whatIsRead(room.hub, room.uid, room.rid)(roots[of], at)).toBe(read)
        }
      }),
      { numRuns: 150 },
    )
  }, 60_000)

  it('of who spoke after what was folded begin there', () => {
    const room = newRoom()
    for (let n = 0; n < 600; n += 1) room.said(n % 2, n % 3 === 0)
    expect(room.counted()).toEqual(room.expected())
    room.spoke(1, { quietly: true, old: false })
    expect(room.counted()).toEqual(room.expected())
    expect(room.counted()).toMatchObject({ notifications: 300, threads: {} })
    for (let n = 0; n < 600; n += 1) room.said(1, false)
    expect(room.counted()).toEqual(room.expected())
    expect(room.counted()).toMatchObject({ notifications: 900 })
  })
})
