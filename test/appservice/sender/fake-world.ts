// The world of an AppserviceSender without a runtime: SQLite in memory that outlives crashes, a clock that the test turns, an
// application service that answers as it likes.

import { DatabaseSync } from 'node:sqlite'
import type { Sender, SenderDeps } from '../../../src/appservice/sender/context.ts'
import { openSender } from '../../../src/appservice/sender/open.ts'
import { appserviceSenderMigrations } from '../../../src/appservice/sender/schema.ts'
import { beginInvocation, onAlarm, whenIdle } from '../../../src/appservice/sender/work.ts'
import type { RoomId, UserId } from '../../../src/matrix/event.ts'
import type { JsonObject } from '../../../src/matrix/json.ts'

export const second = 1000
export const minute = 60 * second

export const [roomA, roomB] = ['!a:test.local', '!b:test.local'] as [RoomId, RoomId]
export const [alice, ann] = ['@alice:test.local', '@bridge_ann:test.local'] as [UserId, UserId]

export interface SentTransaction {
  readonly txnId: string
  readonly body: string
  readonly at: number
  readonly events: JsonObject[]
  readonly ephemeral: JsonObject[]
}

/** A status, or an error in place of an answer. */
type Behaviour = (transaction: SentTransaction) => number | Error | Promise<number>

export const accept: Behaviour = () => 200
export const refuse: Behaviour = () => 500
export const unreachable: Behaviour = () => new Error('no route')
export const hang: Behaviour = () => new Promise(() => undefined)

/** What a crash throws into the work that it interrupts. */
export class Crash extends Error {}

export type World = ReturnType<typeof newWorld>

export function newWorld({ unstableEphemeral = false } = {}) {
  const database = new DatabaseSync(':memory:')
  for (const { sql } of appserviceSenderMigrations) database.exec(sql)
  const sent: SentTransaction[] = []
  const interested = new Map<RoomId, boolean>()
  let behaviour = accept
  let now = 1_700_000_000_000
  let alarmAt: number | undefined
  // Timers die with the process, as the sender does.
  let timers: { at: number; run: () => void }[] = []
  let life = 0
  let sender: Sender | undefined
  let rows = 0
  let asked = 0
  let crashAfter = Infinity
  let runningAlarm = false

  const open = (): Sender => {
    life += 1
    timers = []
    const mine = life
    // What is left of an earlier life does nothing any more.
    const step = () => {
      if (mine !== life) throw new Crash()
      crashAfter -= 1
      if (crashAfter >= 0) return
      crashAfter = Infinity
      world.crash()
      throw new Crash()
    }
    const exec = (query: string, ...params: (string | number | null)[]) => {
      step()
      const statement = database.prepare(query)
      if (/^\s*SELECT/.test(query)) {
        const found = statement.all(...params)
        return { toArray: () => found, [Symbol.iterator]: () => found[Symbol.iterator]() }
      }
      rows += Number(statement.run(...params).changes)
      return { toArray: () => [] }
    }
    const deps: SenderDeps = {
      sql: { exec } as unknown as SqlStorage,
      transact: (work) => {
        database.exec('BEGIN')
        try {
          const result = work()
          step()
          database.exec('COMMIT')
          return result
        } catch (error) {
          // Where a crash has done so already, there is nothing to undo.
          if (mine === life) database.exec('ROLLBACK')
          throw error
        }
      },
      appservice: { id: 'bridge', unstableEphemeral },
      looksAfter: (userId) => userId.startsWith('@bridge_'),
      now: () => now,
      random: () => 0.5,
      later: (ms, run) => {
        if (mine === life) timers.push({ at: now + ms, run })
      },
      setAlarm: (time) => {
        step()
        rows += 1
        alarmAt = time
      },
      send: async (txnId, body) => {
        step()
        const { events, ephemeral = [] }: { events: JsonObject[]; ephemeral?: JsonObject[] } =
          JSON.parse(body)
        const transaction = { txnId, body, at: now, events, ephemeral }
        sent.push(transaction)
        const answer = await behaviour(transaction)
        step()
        if (answer instanceof Error) throw answer
        return answer
      },
      isInterested: async (roomId) => {
        asked += 1
        return interested.get(roomId) ?? false
      },
      incarnation: `life-${life}`,
      lookAfterMs: 30 * second,
    }
    return openSender(deps, alarmAt)
  }

  const world = {
    /** Everything that was sent, in order. */
    sent,
    /** What the rooms answer that are asked. */
    interested,
    behave: (next: Behaviour) => {
      behaviour = next
    },
    now: () => now,
    rows: () => rows,
    asked: () => asked,
    alarmAt: () => alarmAt,
    /** Rows that wait, and whether a transaction is on disk. */
    kept: () => ({
      waiting: database.prepare('SELECT count(*) AS n FROM outbox').get()?.['n'],
      flight: database.prepare('SELECT txn FROM flight').get()?.['txn'] ?? null,
    }),
    /** Calls the sender, and waits until nothing is going on. */
    async call<T>(run: (sender: Sender) => T): Promise<T> {
      sender ??= open()
      beginInvocation(sender)
      const result = run(sender)
      await settled()
      return result
    },
    /** The process ends at once. */
    crash: () => {
      if (database.isTransaction) database.exec('ROLLBACK')
      life += 1
      timers = []
      sender = undefined
      if (runningAlarm) alarmAt = Math.min(alarmAt ?? Infinity, now + second)
      runningAlarm = false
    },
    /** Crashes at the so-many-th step from now: a statement, a commit, an alarm set, a request, its answer. */
    crashAfter: (steps: number) => {
      crashAfter = steps
    },
    /** Lets time pass, in which timers and alarms come. */
    async pass(ms: number): Promise<void> {
      const end = now + ms
      await settled()
      for (;;) {
        const timer = timers.toSorted((a, b) => a.at - b.at)[0]
        const next = Math.min(timer?.at ?? Infinity, alarmAt ?? Infinity)
        if (next > end) break
        now = Math.max(now, next)
        if (timer?.at === next) {
          timers.splice(timers.indexOf(timer), 1)
          timer.run()
        } else await alarm()
        await settled()
      }
      now = end
    },
    idle: () => sender && whenIdle(sender),
  }

  // One that is interrupted comes again. It may go on for as long as it waits for an answer.
  const alarm = async () => {
    alarmAt = undefined
    const mine = life + (sender ? 0 : 1)
    runningAlarm = true
    const running = (async () => {
      try {
        sender ??= open()
        await onAlarm(sender)
        if (mine === life) runningAlarm = false
      } catch (error) {
        if (!(error instanceof Crash)) throw error
      }
    })()
    await Promise.race([running, settled()])
  }

  return world
}

/** Lets everything go on that need not wait for the clock. */
async function settled(): Promise<void> {
  for (let i = 0; i < 50; i += 1) await Promise.resolve()
  await new Promise((resolve) => setImmediate(resolve))
}
