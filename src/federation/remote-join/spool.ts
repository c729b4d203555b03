// Events of a room's state while they arrive, given back in the order in which they build upon each other. They go into SQLite,
// several in a row, so that memory is bounded whatever the room's size, rows are few, and a crash loses nothing.

export type SpooledList = 'auth_chain' | 'state'

// Where an event is: its row, and the bytes in it.
interface Place {
  readonly chunk: number
  readonly at: number
  readonly length: number
}

export interface Spool {
  /** Takes an event as JSON text, with its depth. */
  readonly add: (list: SpooledList, text: string, depth: number) => void
  /** To be called when the last event was added. */
  readonly end: () => void
  /** The events of a list in the order of their depth from the `from`th on, as many as one call can carry. Empty at the end. */
  readonly batch: (list: SpooledList, from: number) => string[]
  /** Some events of a list, by their numbers in that order. */
  readonly pick: (list: SpooledList, numbers: readonly number[]) => string[]
  /** Drops everything. */
  readonly clear: () => void
}

export interface SpoolLimits {
  /** The bytes of a row, which several events share; a single event may be longer. */
  readonly chunk: number
  readonly eventsPerBatch: number
  /** The bytes of a batch; a single event may be longer. */
  readonly batch: number
}

export const spoolLimits: SpoolLimits = { chunk: 16 * 1024, eventsPerBatch: 1000, batch: 1024 * 1024 }

const lists: readonly SpooledList[] = ['auth_chain', 'state']
/** The list, the depth and the length of an event. */
type Entry = readonly [list: number, depth: number, length: number]
const utf8 = new TextEncoder()
const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The spool of a database, with what is in it. Only one may be open on a database. */
export function openSpool(sql: SqlStorage, limits: SpoolLimits = spoolLimits): Spool {
  sql.exec(
    `CREATE TABLE IF NOT EXISTS spool (chunk INTEGER PRIMARY KEY, bytes BLOB NOT NULL, entries TEXT NOT NULL)`,
  )
  let parts: Uint8Array[] = []
  let entries: Entry[] = []
  let size = 0
  const orders = new Map<SpooledList, Order>()

  const end = (): void => {
    if (entries.length === 0) return
    sql.exec('INSERT INTO spool (bytes, entries) VALUES (?, ?)', joined(parts, size), JSON.stringify(entries))
    empty()
  }
  const empty = (): void => {
    parts = []
    entries = []
    size = 0
    orders.clear()
  }
  const orderOf = (list: SpooledList): Order => {
    const order = orders.get(list) ?? byDepth(sql, lists.indexOf(list))
    orders.set(list, order)
    return order
  }
  return {
    add(list, json, depth) {
      const bytes = utf8.encode(json)
      if (size + bytes.length > limits.chunk) end()
      parts.push(bytes)
      entries.push([lists.indexOf(list), depth, bytes.length])
      size += bytes.length
    },
    end,
    batch: (list, from) => read(sql, oneBatch(orderOf(list), from, limits)),
    pick: (list, numbers) => {
      const placeOf = orderOf(list)
      return read(
        sql,
        numbers.map(placeOf).filter((place) => place !== undefined),
      )
    },
    clear() {
      empty()
      sql.exec('DELETE FROM spool')
    },
  }
}

function joined(parts: readonly Uint8Array[], size: number): ArrayBuffer {
  const bytes = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes.buffer
}

type Order = (number: number) => Place | undefined

// Four numbers an event: hundreds of thousands of events are a few megabytes.
const fields = { depth: 0, chunk: 1, at: 2, length: 3, count: 4 }

function byDepth(sql: SqlStorage, list: number): Order {
  const numbers: number[] = []
  const rows = sql.exec<{ chunk: number; entries: string }>('SELECT chunk, entries FROM spool ORDER BY chunk')
  for (const row of rows.toArray()) {
    let at = 0
    // Written by `end` alone.
    for (const [of, depth, length] of JSON.parse(row.entries) as Entry[]) {
      if (of === list) numbers.push(depth, row.chunk, at, length)
      at += length
    }
  }
  const packed = Float64Array.from(numbers)
  const field = (event: number, of: number): number => packed[event * fields.count + of] ?? 0
  const order = Uint32Array.from({ length: packed.length / fields.count }, (_, i) => i)
  order.sort((a, b) => field(a, fields.depth) - field(b, fields.depth) || a - b)
  return (number) => {
    const event = order[number]
    if (event === undefined) return undefined
    return {
      chunk: field(event, fields.chunk),
      at: field(event, fields.at),
      length: field(event, fields.length),
    }
  }
}

function oneBatch(placeOf: Order, from: number, limits: SpoolLimits): Place[] {
  const batch: Place[] = []
  let size = 0
  for (let number = from; batch.length < limits.eventsPerBatch; number += 1) {
    const place = placeOf(number)
    if (!place || (batch.length > 0 && size + place.length > limits.batch)) break
    batch.push(place)
    size += place.length
  }
  return batch
}

// Only the bytes of the events themselves leave the database.
function read(sql: SqlStorage, places: readonly Place[]): string[] {
  return sql
    .exec<{ bytes: ArrayBuffer }>(
      `SELECT substr(bytes, json_extract(value, '$[1]') + 1, json_extract(value, '$[2]')) AS bytes
       FROM json_each(?) AS place CROSS JOIN spool ON chunk = json_extract(value, '$[0]') ORDER BY place.key`,
      JSON.stringify(places.map(({ chunk, at, length }) => [chunk, at, length])),
    )
    .toArray()
    .map(({ bytes }) => text.decode(bytes))
}
