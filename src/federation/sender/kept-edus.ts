// EDUs that must reach their destinations: they go into transactions that are on disk before they are sent, and are on disk
// themselves while their destination fails. Until then they are in memory: of a device list that loses an update its followers
// notice by the next. Specification: server-server API, "Device Management".

import type { JsonObject } from '../../matrix/json.ts'
import type { Destination, Sender } from './context.ts'
import type { KeyEdu } from './edus.ts'

// What a destination that is away can make this server keep. The oldest go first.
const mostKept = 1000
// Characters of EDUs in a transaction: one row of at most 2 MB holds it.
const mostLength = 300_000

/** Queues an EDU. Call inside a transaction. */
export function keep(sender: Sender, destination: Destination, edu: KeyEdu): void {
  const { kept } = destination
  const key = `${edu.type} ${edu.key}`
  // A newer one says it all, and goes to the end: it must not overtake those that it builds upon.
  kept.delete(key)
  kept.set(key, edu)
  if (destination.failures > 0) writeKept(sender, destination, key, edu)
  const oldest = kept.size > mostKept ? kept.keys().next().value : undefined
  if (oldest !== undefined) drop(sender, destination, oldest)
}

/** Writes down what waits for a destination that begins to fail. Call inside a transaction. */
export function writeAllKept(sender: Sender, destination: Destination): void {
  if (destination.failures !== 1) return
  for (const [key, edu] of destination.kept) writeKept(sender, destination, key, edu)
}

function writeKept(sender: Sender, { id, keptOnDisk }: Destination, key: string, edu: KeyEdu): void {
  keptOnDisk.add(key)
  sender.deps.sql.exec(
    `INSERT OR REPLACE INTO kept_edus (destination, key, seq, json)
     VALUES (?, ?, (SELECT ifnull(max(seq), 0) + 1 FROM kept_edus WHERE destination = ?), ?)`,
    id,
    key,
    id,
    JSON.stringify(edu),
  )
}

/** Takes up to `limit` EDUs in wire form, for a transaction that is written down now. Call inside a transaction. */
export function takeKept(sender: Sender, destination: Destination, limit: number): JsonObject[] {
  const taken: JsonObject[] = []
  let length = 0
  for (const [key, { type, content }] of destination.kept) {
    length += JSON.stringify(content).length
    if (taken.length === limit || (length > mostLength && taken.length > 0)) break
    taken.push({ edu_type: type, content })
    drop(sender, destination, key)
  }
  return taken
}

function drop(sender: Sender, { id, kept, keptOnDisk }: Destination, key: string): void {
  kept.delete(key)
  if (!keptOnDisk.delete(key)) return
  sender.deps.sql.exec('DELETE FROM kept_edus WHERE destination = ? AND key = ?', id, key)
}
