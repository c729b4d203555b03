// The keys to check a large room's state with: noted while it arrives, fetched before it is checked, many servers at once.
// Specification: server-server API, "Retrieving server keys".

import type { ServerName } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { ServerKeySet } from '../../room/receive-pdu.ts'
import { type KeyRequest, serversOf } from '../client/key-ring.ts'
import { keyRequests } from '../receive/event-keys.ts'
import type { JobStore, KeyProgress } from './join-job.ts'
import { perServer } from './turn.ts'

/** Where keys come from. */
export interface JoinKeys {
  /** Those of some keys that are not known here. */
  readonly missing: (requests: readonly KeyRequest[]) => Promise<KeyRequest[]>
  /** Asks those who keep the keys of others. Returns those that are still missing. */
  readonly askNotaries: (requests: readonly KeyRequest[]) => Promise<KeyRequest[]>
  readonly fetchDirectly: (servers: readonly ServerName[]) => Promise<void>
  /** What is known here. */
  readonly kept: (requests: readonly KeyRequest[]) => Promise<ServerKeySet>
  /** How many servers can be asked at once. */
  readonly atOnce: number
}

// The notary asks the servers that it does not know itself, and we wait for it.
const serversPerPart = 50
// So many are asked themselves before anybody else is.
const fewServers = 6

/** Notes who has signed what. */
export function signersOf(now: number) {
  const signers = new Map<ServerName, Map<string, number>>()
  return {
    add(pdu: JsonObject): void {
      for (const { serverName, keyId, minimumValidUntilTs } of keyRequests(pdu)) {
        const keys = signers.get(serverName) ?? new Map<string, number>()
        signers.set(serverName, keys)
        // No key is known to be valid at a time to come.
        keys.set(keyId, Math.max(keys.get(keyId) ?? 0, Math.min(minimumValidUntilTs, now)))
      }
    },
    parts(): KeyRequest[][] {
      const servers = [...signers]
      return Array.from({ length: Math.ceil(servers.length / serversPerPart) }, (_, part) =>
        servers
          .slice(part * serversPerPart, (part + 1) * serversPerPart)
          .flatMap(([serverName, keys]) =>
            [...keys].map(([keyId, minimumValidUntilTs]) => ({ serverName, keyId, minimumValidUntilTs })),
          ),
      )
    },
  }
}

/** What the next step of `fetchKeys` may take, in subrequests. */
export function costOfKeys({ left }: KeyProgress, { atOnce }: JoinKeys): number {
  return left && left.length > 0 ? 1 + perServer * Math.min(left.length, atOnce) : 3 + 3 * perServer
}

/**
 * One step on the way to all keys: the notaries for the servers of a part, or some of the servers themselves. Undefined when
 * all that can be had are kept. Servers that do not answer are asked once: events that only they have signed are left out.
 */
export async function fetchKeys(
  keys: JoinKeys,
  store: JobStore,
  progress: KeyProgress,
): Promise<KeyProgress | undefined> {
  const requests = store.signers(progress.part)
  if (!requests) return undefined
  const { part, left, notaries } = progress
  if (left && left.length > 0) {
    await keys.fetchDirectly(left.slice(0, keys.atOnce))
    return { ...progress, left: left.slice(keys.atOnce) }
  }
  const missing = await keys.missing(requests)
  if (!left && missing.length > 0) {
    const many = serversOf(missing).length > fewServers
    return { part, notaries: many, left: serversOf(many ? await keys.askNotaries(missing) : missing) }
  }
  if (notaries === false && missing.length > 0) await keys.askNotaries(missing)
  store.keepKeys(part, await keys.kept(requests))
  return { part: part + 1 }
}
