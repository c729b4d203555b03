// The signing keys of other servers that are known here: in memory, behind that in D1.

import type { Env } from '../../env.ts'
import { decodeBase64, encodeBase64 } from '../../matrix/base64.ts'
import type { ServerName } from '../../matrix/event.ts'
import {
  type AnsweredKey,
  findRemoteKeys,
  keepRemoteKeys,
  type RemoteKey,
} from '../../storage/remote-keys.ts'
import type { PublishedKey } from './key-answer.ts'
import type { FetchedKeys } from './key-fetch.ts'

/** The keys of one server by key id. */
export type KnownKeys = ReadonlyMap<string, PublishedKey>

interface Entry {
  readonly keys: KnownKeys
  readonly readAt: number
}

const capacity = 2000
// How soon keys that another isolate has fetched are seen here.
const freshMs = 60 * 1000
const memory = new Map<ServerName, Entry>()

/** The keys known of some servers. `again`: also of those that were read long ago. */
export async function knownKeys(
  env: Env,
  serverNames: readonly ServerName[],
  again = false,
): Promise<ReadonlyMap<ServerName, KnownKeys>> {
  const stale = Date.now() - freshMs
  const unread = serverNames.filter((name) => (memory.get(name)?.readAt ?? -1) < (again ? stale : 0))
  if (unread.length > 0) {
    const rows = Map.groupBy(await findRemoteKeys(env, unread), ({ serverName }) => serverName)
    for (const name of unread) remember(name, new Map((rows.get(name) ?? []).map(published)))
  }
  return new Map(serverNames.map((name) => [name, memory.get(name)?.keys ?? new Map()]))
}

/** Keeps what was fetched, in one query. What a notary tells may be older than what is known. */
export async function keepKeys(
  env: Env,
  fetched: readonly FetchedKeys[],
  source: 'server' | 'notary',
): Promise<void> {
  const known = await knownKeys(
    env,
    fetched.map(({ serverName }) => serverName),
  )
  const fetchedAt = Date.now()
  const rows: AnsweredKey[] = []
  const remembered = new Map(known)
  for (const { serverName, keys, answer } of fetched) {
    const before = remembered.get(serverName)
    const changed = keys.filter((key) => replaces(key, before?.get(key.keyId), source))
    const response = JSON.stringify(answer)
    for (const { keyId, key, validUntilTs, old } of changed) {
      rows.push({ serverName, keyId, publicKey: encodeBase64(key), validUntilTs, old, fetchedAt, response })
    }
    const news = changed.map((key) => [key.keyId, key] as const)
    remembered.set(serverName, new Map([...(before ?? []), ...news]))
  }
  await keepRemoteKeys(env, rows)
  for (const { serverName } of fetched) remember(serverName, remembered.get(serverName) ?? new Map())
}

function replaces(key: PublishedKey, known: PublishedKey | undefined, source: 'server' | 'notary'): boolean {
  if (!known) return true
  if (key.old && known.old && key.validUntilTs === known.validUntilTs) return false
  if (source === 'server' || key.old) return true
  // A notary's answer that does not know yet that a key is old, or of a shorter validity, is an older one.
  return !known.old && key.validUntilTs > known.validUntilTs
}

function published({ keyId, publicKey, validUntilTs, old }: RemoteKey): [string, PublishedKey] {
  return [keyId, { keyId, key: decodeBase64(publicKey) ?? new Uint8Array(), validUntilTs, old }]
}

function remember(serverName: ServerName, keys: KnownKeys): void {
  memory.delete(serverName)
  const oldest = memory.size >= capacity ? memory.keys().next().value : undefined
  if (oldest !== undefined) memory.delete(oldest)
  memory.set(serverName, { keys, readAt: Date.now() })
}
