// Read receipts as /sync gives them. Specification: client-server API, "Receipts".

import { childObject, isJsonObject, type JsonObject, type JsonValue } from '../matrix/json.ts'
import type { HubContext } from './context.ts'

// The type of what is no receipt: an event of the user's own, up to which they have read. Nobody is shown it. Written before the log
// told as much.
const ownEvent = 'own'

interface ReceiptRow {
  readonly rid: number
  readonly user_id: string
  readonly type: string
  readonly thread: string
  readonly event_id: string
  readonly ts: number
  readonly [column: string]: SqlStorageValue
}

/** The content of `m.receipt` a room, for receipts after a position up to another, as one user may see them. */
export function receiptsSince(
  hub: HubContext,
  viewer: string,
  since: number,
  upTo: number,
): Map<number, JsonObject> {
  const rows = hub.sql.exec<ReceiptRow>('SELECT * FROM receipts WHERE pos > ? AND pos <= ?', since, upTo)
  return contents([...rows], viewer)
}

/** The content of `m.receipt` for all receipts of a room, as one user may see them; undefined where there are none. */
export function receiptsIn(hub: HubContext, viewer: string, rid: number): JsonObject | undefined {
  const rows = hub.sql.exec<ReceiptRow>('SELECT * FROM receipts WHERE rid = ?', rid)
  return contents([...rows], viewer).get(rid)
}

function contents(rows: readonly ReceiptRow[], viewer: string): Map<number, JsonObject> {
  const result = new Map<number, JsonObject>()
  for (const row of rows) {
    if (row.type === ownEvent || (row.type === 'm.read.private' && row.user_id !== viewer)) continue
    const content = result.get(row.rid) ?? {}
    result.set(row.rid, content)
    const users = childObject(childObject(content, row.event_id), row.type)
    // Where a user has both kinds on one event, the one for the whole room says more.
    if (row.thread !== '' && isUnthreaded(users[row.user_id])) continue
    users[row.user_id] = { ts: row.ts, ...(row.thread === '' ? {} : { thread_id: row.thread }) }
  }
  return result
}

function isUnthreaded(receipt: JsonValue | undefined): boolean {
  return isJsonObject(receipt) && !Object.hasOwn(receipt, 'thread_id')
}
