// What the functions of the Hub work on: its SQLite and the one counter that orders everything a user can be told.

import { listeners } from '../appservice/listeners.ts'
import type { Appservice } from '../appservice/registration.ts'
import { config } from '../config.ts'
import { type Env, hubStub } from '../env.ts'

export interface HubContext {
  readonly sql: SqlStorage
  readonly storage: DurableObjectStorage
  readonly env: Env
  readonly serverName: string
  /** The shards beside this one. */
  readonly otherShards: readonly number[]
  /** The application services that are told of what happens. */
  readonly appservices: readonly Appservice[]
  readonly now: () => number
  /** Keeps the object alive for work that nobody waits for. */
  readonly waitUntil: (work: Promise<unknown>) => void
  /** How many rooms one answer of /sync may ask: each is a subrequest. */
  readonly roomsPerSync: number
  /** The waiting syncs of a user: sockets that survive hibernation. */
  readonly sockets: (tag: string) => WebSocket[]
  /** When the alarm comes, in milliseconds; undefined where none is set. See alarm.ts. */
  alarmAt: number | undefined
  /** The last position given out. A `since` token is such a position. */
  position: number
  /** The position up to which nothing is known in memory about who has news. */
  readonly bootPosition: number
  /** The position of the last news of each user since then. */
  readonly newsAt: Map<number, number>
}

/** Opens the context over a migrated database. */
export function openHub(ctx: DurableObjectState, env: Env): HubContext {
  const { storage } = ctx
  const position = lastPosition(storage.sql)
  return {
    sql: storage.sql,
    storage,
    env,
    serverName: config(env).serverName,
    otherShards: Array.from({ length: config(env).hubShards }, (_, shard) => shard).filter(
      (shard) => !hubStub(env, shard).id.equals(ctx.id),
    ),
    appservices: listeners(env),
    now: Date.now,
    waitUntil: (work) => ctx.waitUntil(work),
    roomsPerSync: config(env).roomsPerSync,
    sockets: (tag) => ctx.getWebSockets(tag),
    alarmAt: undefined,
    position,
    bootPosition: position,
    newsAt: new Map(),
  }
}

/** Takes the next position. The row that carries it must be written in the same turn. */
export function nextPosition(hub: HubContext): number {
  hub.position += 1
  return hub.position
}

/** Runs writes as one transaction; positions taken in one that is rolled back are given out again. */
export function transact<T>(hub: HubContext, work: () => T): T {
  const { position } = hub
  try {
    return hub.storage.transactionSync(work)
  } catch (error) {
    hub.position = position
    throw error
  }
}

// Every table with positions keeps its newest rows, so the highest of all is the last one that was ever told.
function lastPosition(sql: SqlStorage): number {
  const row = sql
    .exec<{ pos: number }>(
      `SELECT max(
         ifnull((SELECT max(pos) FROM log), 0),
         ifnull((SELECT max(pos) FROM account_data), 0),
         ifnull((SELECT max(pos) FROM receipts), 0),
         ifnull((SELECT max(pos) FROM to_device), 0),
         ifnull((SELECT max(pos) FROM device_lists), 0),
         ifnull((SELECT max(pos) FROM thread_subscriptions), 0),
         ifnull((SELECT max(pos) FROM user_signatures), 0)) AS pos`,
    )
    .one()
  return row.pos
}
