// What the functions of the Hub work on: its SQLite and the one counter that orders everything a user can be told.

import { config } from '../config.ts'
import type { Env } from '../env.ts'

export interface HubContext {
  readonly sql: SqlStorage
  readonly storage: DurableObjectStorage
  readonly env: Env
  readonly serverName: string
  readonly now: () => number
  /** The last position given out. A `since` token is such a position. */
  position: number
}

/** Opens the context over a migrated database. */
export function openHub(ctx: DurableObjectState, env: Env): HubContext {
  const { storage } = ctx
  return {
    sql: storage.sql,
    storage,
    env,
    serverName: config(env).serverName,
    now: Date.now,
    position: lastPosition(storage.sql),
  }
}

/** Takes the next position. The row that carries it must be written in the same turn. */
export function nextPosition(hub: HubContext): number {
  hub.position += 1
  return hub.position
}

// Every table with positions keeps its newest rows, so the highest of all is the last one that was ever told.
function lastPosition(sql: SqlStorage): number {
  const row = sql
    .exec<{ pos: number }>(
      `SELECT max(
         ifnull((SELECT max(pos) FROM log), 0),
         ifnull((SELECT max(pos) FROM account_data), 0),
         ifnull((SELECT max(pos) FROM receipts), 0)) AS pos`,
    )
    .one()
  return row.pos
}
