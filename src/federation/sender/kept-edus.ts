// EDUs that must reach their destinations: they go into transactions that are on disk before they are sent, and are on disk
// themselves while their destination is busy or fails. Specification: server-server API, "Device Management",
// "Send-to-device messaging".

import type { JsonObject } from '../../matrix/json.ts'
import type { Destination, Sender } from './context.ts'
import type { KeptEdu } from './edus.ts'

// What a destination that is away can make this server keep. The oldest go first.
const mostKept = 1000
// Characters of EDUs in a transaction: one row of at most 2 MB holds it.
const mostLength = 300_000

/** Queues an EDU. Call inside a transaction. */
export function keep(sender: Sender, destination: Destination, edu: KeptEdu): void {
  const { kept } = destination
  const key = `${edu.type} ${edu.key}`
  // A newer one says it all, and goes to the end: it must not overtake those that it builds upon.
  kept.delete(key)
  kept.set(key, edu)
  // One that nothing holds up is in a transaction on disk in a moment.
  if (mustWait(destination)) writeKept(sender, destination, key, edu)
  const oldest = kept.size > mostKept ? kept.keys().next().value : undefined
  if (oldest !== undefined) drop(sender, destination, oldest)
}

function mustWait({ busy, flight, failures }: Destination): boolean {
  return busy || flight !== undefined || failures > 0
}

/** Writes down what waits for a destination that begins to fail. Call inside a transaction. */
export function writeAllKept(sender: Sender, destination: Destination): void {
  for (const [key, edu] of destination.kept) {
    if (!destination.keptOnDisk.has(key)) writeKept(sender, destination, key, edu)
  }
}

function writeKept(sender: Sender, { id, keptOnDisk }: Destination, key: string, edu: KeptEdu): void {
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
