// The world of a FederationSender without a runtime: SQLite in memory that outlives crashes, a clock that the test turns,
// destinations that answer as it likes.

import { DatabaseSync } from 'node:sqlite'
import { onAlarm } from '../../../src/federation/sender/alarm.ts'
import type { Sender, SenderDeps, TransactionAnswer } from '../../../src/federation/sender/context.ts'
import { openSender } from '../../../src/federation/sender/load.ts'
import { senderMigrations } from '../../../src/federation/sender/schema.ts'
import { tell, tellEdu } from '../../../src/federation/sender/tell.ts'
import type { RoomEdu } from '../../../src/federation/sender/edus.ts'
import { beginInvocation, whenIdle } from '../../../src/federation/sender/work.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../../src/matrix/event.ts'
import type { JsonObject } from '../../../src/matrix/json.ts'

export const second = 1000
export const minute = 60 * second
export const hour = 60 * minute
export const day = 24 * hour

export const [one, two, three] = ['one.test', 'two.test', 'three.test'] as [
  ServerName,
  ServerName,
  ServerName,
]
export const roomA = '!a:test.local' as RoomId
export const roomB = '!b:test.local' as RoomId
export const alice = '@alice:test.local' as UserId

export interface SentTransaction {
  readonly destination: ServerName
  readonly txnId: string
  readonly content: JsonObject
  readonly at: number
}

type Behaviour = (transaction: SentTransaction) => TransactionAnswer | Promise<TransactionAnswer>

export const accept: Behaviour = () => ({ status: 200, body: { pdus: {} } })
export const refuse: Behaviour = () => ({ status: 503, body: {} })
export const unreachable: Behaviour = () => Promise.reject(new Error('no route'))
export const hang: Behaviour = () => new Promise(() => undefined)

export type World = ReturnType<typeof newWorld>

export function newWorld({ connections = 6, quickRetriesMs = [] as number[], queueFrom = Infinity } = {}) {
  const database = new DatabaseSync(':memory:')
  for (const { sql } of senderMigrations) database.exec(sql)
  const sent: SentTransaction[] = []
  const behaviours = new Map<ServerName, Behaviour>()
  const texts = new Map<string, string>()
  const newest = new Map<RoomId, string[]>()
  const servers = new Map<RoomId, ServerName[]>()
  const queued: number[] = []
  let queueTakes = true
  const asked = { pduTexts: 0, newestFor: 0, otherServers: 0 }
  let now = 1_700_000_000_000
  let alarmAt: number | undefined
  let alarms = 0
  // Timers die with the process, as the sender does.
  let timers: { at: number; run: () => void }[] = []
  let life = 0
  let rooms = true
  let whileFetching: () => void = () => undefined
  const positions = new Map<RoomId, number>()

  const open = (start: 'now' | number | undefined): Sender => {
    life += 1
    timers = []
    const mine = life
    const exec = (query: string, ...params: (string | number | null)[]) => {
      const rows = database.prepare(query).all(...params)
      return { toArray: () => rows, one: () => rows[0], [Symbol.iterator]: () => rows[Symbol.iterator]() }
    }
    const deps: SenderDeps = {
      sql: { exec } as unknown as SqlStorage,
      transact: (work) => {
        database.exec('SAVEPOINT work')
        try {
          const result = work()
          database.exec('RELEASE work')
          return result
        } catch (error) {
          database.exec('ROLLBACK TO work; RELEASE work')
          throw error
        }
      },
      serverName: 'test.local' as ServerName,
      now: () => now,
      random: () => 0.5,
      later: (ms, run) => void timers.push({ at: now + ms, run }),
      setAlarm: (time) => {
        alarmAt = time
        alarms += 1
      },
      send: async (destination, txnId, content) => {
        if (mine !== life) return await new Promise(() => undefined)
        const transaction = { destination, txnId, content, at: now }
        sent.push(transaction)
        return await (behaviours.get(destination) ?? accept)(transaction)
      },
      rooms: {
        pduTexts: (_, eventIds) => {
          asked.pduTexts += 1
          if (!rooms) return Promise.reject(new Error('room is away'))
          return Promise.resolve(eventIds.map((eventId) => texts.get(eventId) ?? null))
        },
        newestFor: (roomId) => {
          asked.newestFor += 1
          const texts = newest.get(roomId) ?? []
          whileFetching()
          return Promise.resolve(texts)
        },
        otherServers: (roomId) => {
          asked.otherServers += 1
          return Promise.resolve(servers.get(roomId) ?? [])
        },
      },
      connections,
      quickRetriesMs,
      queueFrom,
      enqueue: (messages) => {
        if (!queueTakes) return Promise.reject(new Error('too many'))
        queued.push(...messages.map(({ lease }) => lease))
        return Promise.resolve()
      },
      firstBackOffMs: minute,
    }
    return openSender(deps, start)
  }
  let sender = open(undefined)

  const settle = async () => {
    // Long enough for promise chains of hanging destinations as well.
    await Promise.race([whenIdle(sender), new Promise((over) => setTimeout(over, 20))])
  }
  const runDue = async () => {
    for (const timer of timers.filter(({ at }) => at <= now)) {
      timers.splice(timers.indexOf(timer), 1)
      timer.run()
    }
    if (alarmAt !== undefined && alarmAt <= now) {
      alarmAt = undefined
      void onAlarm(sender)
    }
    await settle()
  }
  return {
    sent,
    asked,
    /** The leases in the queue. */
    queued,
    /** Whether the queue takes messages. */
    queueTakes: (takes: boolean) => (queueTakes = takes),
    servers,
    newest,
    get sender() {
      return sender
    },
    get alarmAt() {
      return alarmAt
    },
    behave: (destination: ServerName, behaviour: Behaviour) => behaviours.set(destination, behaviour),
    /** What happens between a room's answer about its newest events and its arrival. */
    whileFetching: (happens: () => void) => (whileFetching = happens),
    /** Whether rooms answer. */
    roomsAnswer: (answer: boolean) => (rooms = answer),
    settle,
    /** Events of a room for some destinations, told in one call. Answers their ids. */
    async say(roomId: RoomId, destinations: readonly ServerName[], count = 1, size = 0): Promise<EventId[]> {
      const events = Array.from({ length: count }, () => {
        const position = (positions.get(roomId) ?? 0) + 1
        positions.set(roomId, position)
        const eventId = `$${roomId[1]}${position}` as EventId
        const text = JSON.stringify({ id: eventId, room_id: roomId, content: { body: 'x'.repeat(size) } })
        texts.set(eventId, text)
        newest.set(roomId, [text])
        return { position, eventId, destinations, text }
      })
      beginInvocation(sender)
      tell(sender, roomId, events)
      await settle()
      return events.map(({ eventId }) => eventId)
    },
    /** As `say`, without the texts. */
    async sayWithoutText(
      roomId: RoomId,
      destinations: readonly ServerName[],
      eventId: string,
      text?: string,
    ) {
      const position = (positions.get(roomId) ?? 0) + 1
      positions.set(roomId, position)
      if (text !== undefined) texts.set(eventId, text)
      tell(sender, roomId, [{ position, eventId: eventId as EventId, destinations }])
      await settle()
    },
    async edu(edu: RoomEdu): Promise<boolean> {
      const federated = await tellEdu(sender, edu)
      await settle()
      return federated
    },
    /** Turns the clock, alarm by alarm. */
    async advance(ms: number): Promise<void> {
      const end = now + ms
      for (;;) {
        const times = [...timers.map(({ at }) => at), ...(alarmAt === undefined ? [] : [alarmAt])]
        const next = Math.min(...times)
        if (next > end) break
        now = Math.max(now, next)
        await runDue()
      }
      now = end
    },
    /** The process ends, at once or in peace, and the next one starts. `viaAlarm`: by the alarm, at its time. */
    async restart({ viaAlarm = false } = {}): Promise<void> {
      if (!viaAlarm) sender = open(alarmAt)
      else {
        if (alarmAt === undefined) throw new Error('there is no alarm')
        now = Math.max(now, alarmAt)
        alarmAt = undefined
        sender = open('now')
        void onAlarm(sender)
      }
      await settle()
    },
    /** The rows that a piece of work costs, the arming of the alarm included. */
    async rows(work: () => Promise<unknown>): Promise<number> {
      const changes = () => {
        const row = database.prepare('SELECT total_changes() AS n').get()
        return Number(row?.['n'])
      }
      const before = changes() + alarms
      await work()
      return changes() + alarms - before
    },
    count: (table: 'outbox' | 'catch_up'): number =>
      Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n']),
  }
}

/** The ids of the events in what a destination was sent, a list a transaction. */
export function idsSent(world: World, destination: ServerName): string[][] {
  return world.sent.filter((sent) => sent.destination === destination).map(({ content }) => pduIds(content))
}

export function pduIds(content: JsonObject): string[] {
  const pdus = content['pdus'] as { id: string }[]
  return pdus.map(({ id }) => id)
}

/** What of EDUs a destination was sent, a list a transaction. */
export function edusSent(world: World, destination: ServerName): JsonObject[][] {
  return world.sent
    .filter((sent) => sent.destination === destination)
    .map(({ content }) => (content['edus'] ?? []) as JsonObject[])
}
