// Events of a room's state while they arrive, given back in the order in which they build upon each other. A few stay in
// memory; those of a large room go into SQLite, so that memory is bounded whatever the room's size.

import type { JsonObject } from '../../matrix/json.ts'

export type SpooledList = 'auth_chain' | 'state'

export interface Spool {
  /** Takes an event as JSON text, with its depth. */
  readonly add: (list: SpooledList, text: string, depth: number) => void
  /** The events of a list by depth, in batches that one call can carry. */
  readonly batches: (list: SpooledList) => Generator<JsonObject[]>
  /** Drops everything. */
  readonly close: () => void
}

export interface SpoolLimits {
  /** How much text stays in memory, in characters. */
  readonly memory: number
  readonly eventsPerBatch: number
  /** The text of a batch, in characters; a single event may be longer. */
  readonly batch: number
}

export const spoolLimits: SpoolLimits = { memory: 8 * 1024 * 1024, eventsPerBatch: 200, batch: 1024 * 1024 }

interface Entry {
  readonly list: SpooledList
  readonly depth: number
  readonly text: string
}

interface Place {
  readonly seq: number
  readonly size: number
}

/** An empty spool. Only one may be open on a database. */
export function openSpool(sql: SqlStorage, limits: SpoolLimits = spoolLimits): Spool {
  let kept: Entry[] = []
  let size = 0
  let onDisk = false
  // What a crash has left behind.
  const close = (): void => {
    kept = []
    sql.exec('DROP TABLE IF EXISTS spool')
  }
  close()

  const spill = (): void => {
    sql.exec(
      'CREATE TABLE spool (seq INTEGER PRIMARY KEY, list TEXT NOT NULL, depth REAL NOT NULL, text TEXT NOT NULL)',
    )
    onDisk = true
    for (const entry of kept) insert(entry)
    kept = []
  }
  const insert = ({ list, depth, text }: Entry): void => {
    sql.exec('INSERT INTO spool (list, depth, text) VALUES (?, ?, ?)', list, depth, text)
  }

  return {
    close,
    add(list, text, depth) {
      const entry = { list, text, depth }
      size += text.length
      if (onDisk) return insert(entry)
      kept.push(entry)
      if (size > limits.memory) spill()
    },
    batches: (list) => (onDisk ? batchesOnDisk(sql, list, limits) : batchesInMemory(kept, list, limits)),
  }
}

function* batchesInMemory(
  kept: readonly Entry[],
  list: SpooledList,
  limits: SpoolLimits,
): Generator<JsonObject[]> {
  const entries = kept.filter((entry) => entry.list === list).toSorted((a, b) => a.depth - b.depth)
  for (const batch of inBatches(entries, ({ text }) => text.length, limits)) {
    yield batch.map(({ text }) => parsed(text))
  }
}

function* batchesOnDisk(sql: SqlStorage, list: SpooledList, limits: SpoolLimits): Generator<JsonObject[]> {
  const places = sql
    .exec<{ seq: number; size: number }>(
      'SELECT seq, length(text) AS size FROM spool WHERE list = ? ORDER BY depth, seq',
      list,
    )
    .toArray()
  for (const batch of inBatches<Place>(places, (place) => place.size, limits)) {
    yield sql
      .exec<{ text: string }>(
        'SELECT text FROM spool WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY depth, seq',
        JSON.stringify(batch.map(({ seq }) => seq)),
      )
      .toArray()
      .map(({ text }) => parsed(text))
  }
}

function* inBatches<T>(
  items: readonly T[],
  sizeOf: (item: T) => number,
  limits: SpoolLimits,
): Generator<T[]> {
  let batch: T[] = []
  let size = 0
  for (const item of items) {
    const next = sizeOf(item)
    if (batch.length > 0 && (batch.length >= limits.eventsPerBatch || size + next > limits.batch)) {
      yield batch
      batch = []
      size = 0
    }
    batch.push(item)
    size += next
  }
  if (batch.length > 0) yield batch
}

// Only objects are spooled.
function parsed(text: string): JsonObject {
  return JSON.parse(text) as JsonObject
}
