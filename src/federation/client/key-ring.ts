// The signing keys of all servers: known ones first, then asked of their server, then of the notaries.
// Server-server API, "Retrieving server keys".

import { config } from '../../config.ts'
import { type Env, serverKeysStub } from '../../env.ts'
import type { KnownKey } from '../../matrix/event-signature.ts'
import type { ServerName } from '../../matrix/event.ts'
import { type JsonObject, objectProperty } from '../../matrix/json.ts'
import { isEd25519KeyId, verifyJson } from '../../matrix/signing.ts'
import type { ServerKeySet } from '../../room/receive-pdu.ts'
import { backOff } from './back-off.ts'
import { fetchKeys, type NotaryKey, queryNotary } from './key-fetch.ts'
import { keepKeys, knownKeys } from './key-store.ts'
import { sharedWork } from './shared-work.ts'

/** A key that something was signed with. */
export interface KeyRequest {
  readonly serverName: ServerName
  readonly keyId: string
  /** When it was signed (ms): a key that is valid until then is enough. 0 where validity does not matter. */
  readonly minimumValidUntilTs: number
}

const minute = 60 * 1000
// Dead servers are many in large rooms: beyond so many, who knows the keys of all is asked before each for its own.
const fewServers = 6
// The first failure may be the restart of a server that signs with a new key.
const directTries = backOff({ afterSuccess: 10_000, afterFailure: 5_000, longest: 60 * minute })
const notaryTries = backOff({ afterSuccess: 10_000, afterFailure: minute, longest: 60 * minute })
const directWork = sharedWork(15_000)
const notaryWork = sharedWork(45_000)
const mostSignatures = 10

/**
 * The keys that are known of those asked for, fetched where need be. Those that cannot be had are left out, and those that
 * were not valid for long enough are there with the validity they have: the caller compares. Never throws for what
 * other servers do or fail to do.
 */
export async function keysFor(env: Env, requests: readonly KeyRequest[]): Promise<ServerKeySet> {
  let missing = await missingKeys(env, requests)
  const bundled = serversOf(missing).length > fewServers && config(env).keyNotaries.length > 0
  if (bundled) missing = await askNotaries(env, missing)
  if (missing.length > 0) {
    await fetchDirectly(env, serversOf(missing))
    missing = await stillMissing(env, missing)
  }
  if (missing.length > 0 && !bundled) await askNotaries(env, missing)
  return await keptKeys(env, requests)
}

/** Those of some keys of other servers that are not known here for long enough. Asks nobody. */
export async function missingKeys(env: Env, requests: readonly KeyRequest[]): Promise<KeyRequest[]> {
  const own = config(env).serverName
  const remote = requests.filter(({ serverName, keyId }) => serverName !== own && isEd25519KeyId(keyId))
  const missing = await stillMissing(env, remote)
  return missing.length > 0 ? await stillMissing(env, missing, true) : []
}

async function stillMissing(env: Env, requests: readonly KeyRequest[], again = false): Promise<KeyRequest[]> {
  const known = await knownKeys(env, serversOf(requests), again)
  return requests.filter((request) => !suffices(known.get(request.serverName)?.get(request.keyId), request))
}

/** As `keysFor`, but of what is known here alone. */
export async function keptKeys(env: Env, requests: readonly KeyRequest[]): Promise<ServerKeySet> {
  const own = config(env).serverName
  const others = requests.filter(({ serverName }) => serverName !== own)
  const known = await knownKeys(env, serversOf(others))
  const ownKeys = others.length < requests.length ? await ownKeySet(env) : {}
  return keySet(requests, (serverName, keyId) => {
    if (serverName === own) return Object.hasOwn(ownKeys, keyId) ? ownKeys[keyId] : undefined
    const key = known.get(serverName)?.get(keyId)
    return key && { key: key.key, validUntilTs: key.validUntilTs }
  })
}

/**
 * Whether a server signed a JSON object with a key that was valid at a time (ms), now if left out. Signatures by unknown or
 * expired keys are skipped; of the others each must be valid, and there must be one.
 */
export async function verifySignedJson(
  env: Env,
  object: JsonObject,
  serverName: ServerName,
  validAt: number = Date.now(),
): Promise<boolean> {
  const signatures = objectProperty(objectProperty(object, 'signatures'), serverName) ?? {}
  const keyIds = Object.keys(signatures).filter(isEd25519KeyId).slice(0, mostSignatures)
  const requests = keyIds.map((keyId) => ({ serverName, keyId, minimumValidUntilTs: validAt }))
  const known = (await keysFor(env, requests))[serverName] ?? {}
  const usable = Object.entries(known).filter(([, { validUntilTs }]) => (validUntilTs ?? 0) >= validAt)
  return usable.length > 0 && usable.every(([keyId, { key }]) => verifyJson(object, serverName, keyId, key))
}

/** Asks servers for their keys, each unless it was asked just now. */
export async function fetchDirectly(env: Env, serverNames: readonly ServerName[]): Promise<void> {
  const waiting = [...serverNames]
  const work = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const running = directWork.running(name)
      if (running) await running
      else if (directTries.allows(name)) await directWork.start([name], fetchOne(env, name))
    }
  }
  // Workers have six connections; more would only wait.
  const atOnce = Math.min(config(env).senderConnections, serverNames.length)
  await Promise.all(Array.from({ length: atOnce }, work))
}

async function fetchOne(env: Env, serverName: ServerName): Promise<void> {
  const fetched = await fetchKeys(env, serverName)
  if (!fetched) return directTries.failed(serverName)
  await keepKeys(env, [fetched], 'server')
  directTries.succeeded(serverName)
}

/** Asks the notaries for keys, one notary after the other, each for all at once. Returns those that are still missing. */
export async function askNotaries(env: Env, missing: readonly KeyRequest[]): Promise<KeyRequest[]> {
  const { keyNotaries } = config(env)
  if (keyNotaries.length === 0) return [...missing]
  const names = serversOf(missing)
  const running = names.flatMap((name) => notaryWork.running(name) ?? [])
  const free = names.filter((name) => !notaryWork.running(name) && notaryTries.allows(name))
  const queries = missing.filter(({ serverName }) => free.includes(serverName))
  if (free.length > 0) running.push(notaryWork.start(free, askEach(env, keyNotaries, queries)))
  await Promise.all(running)
  return await stillMissing(env, missing)
}

async function askEach(
  env: Env,
  notaries: readonly ServerName[],
  queries: readonly KeyRequest[],
): Promise<void> {
  let open = queries
  for (const notary of notaries) {
    const asked = open.filter(({ serverName }) => serverName !== notary)
    const keys = asked.length > 0 ? await notaryKeys(env, notary) : []
    if (keys.length === 0) continue
    await keepKeys(env, await queryNotary(env, notary, keys, asked), 'notary')
    open = await stillMissing(env, open)
  }
  const unanswered = new Set(serversOf(open))
  for (const name of serversOf(queries)) {
    if (unanswered.has(name)) notaryTries.failed(name)
    else notaryTries.succeeded(name)
  }
}

/** The keys that a notary signs with now, from itself alone. */
async function notaryKeys(env: Env, notary: ServerName): Promise<NotaryKey[]> {
  if (notary === config(env).serverName) return []
  const valid = async () =>
    [...((await knownKeys(env, [notary])).get(notary) ?? new Map()).values()].filter(
      ({ old, validUntilTs }) => !old && validUntilTs >= Date.now(),
    )
  const known = await valid()
  if (known.length > 0) return known
  await fetchDirectly(env, [notary])
  return await valid()
}

function suffices(
  key: { readonly validUntilTs: number; readonly old: boolean } | undefined,
  { minimumValidUntilTs }: KeyRequest,
): boolean {
  // An old key does not get any more valid.
  return key !== undefined && (key.old || key.validUntilTs >= minimumValidUntilTs)
}

async function ownKeySet(env: Env): Promise<Record<string, KnownKey>> {
  const keys = await serverKeysStub(env).publicKeys()
  return Object.fromEntries(
    keys.map(({ keyId, publicKey, expiredTs }) => [
      keyId,
      { key: new Uint8Array(publicKey), validUntilTs: expiredTs ?? Number.MAX_SAFE_INTEGER },
    ]),
  )
}

function keySet(
  requests: readonly KeyRequest[],
  find: (serverName: ServerName, keyId: string) => KnownKey | undefined,
): ServerKeySet {
  const byServer = Map.groupBy(requests, ({ serverName }) => serverName)
  return Object.fromEntries(
    [...byServer].map(([serverName, wanted]) => [
      serverName,
      Object.fromEntries(
        wanted.flatMap(({ keyId }) => {
          const key = find(serverName, keyId)
          return key ? [[keyId, key] as const] : []
        }),
      ),
    ]),
  )
}

/** The servers of some keys. */
export function serversOf(requests: readonly KeyRequest[]): ServerName[] {
  return [...new Set(requests.map(({ serverName }) => serverName))]
}
