// The keys of any users, for a user of this server: from the Hub shards, from what is kept of other servers, and from those
// servers, all at once. Specification: client-server API, POST /keys/query; server-server API, "Device Management".

import { type Env, hubStub } from '../env.ts'
import { fetchDeviceList, fetchKeys } from '../federation/client/user-keys.ts'
import { sharedWork } from '../federation/client/shared-work.ts'
import type { KeyQuery, KeyQueryAnswer, KeyQueryRequest } from '../hub/query-keys.ts'
import type { FetchedKeys, RemoteKeys } from '../hub/remote-keys.ts'
import type { UserKeys } from '../hub/user-keys.ts'
import type { ServerName, UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import { objectProperty, type JsonObject } from '../matrix/json.ts'
import { askServers, byShard, type Failures } from './key-servers.ts'
import { isLocal } from './path-params.ts'

export interface FoundKeys {
  readonly users: ReadonlyMap<UserId, UserKeys>
  /** What could not be asked, by server. */
  readonly failures: Failures
}

/** Who asks, and how long other servers may take, in milliseconds. */
export interface Asker {
  readonly userId: UserId
  readonly shard: number
  readonly timeoutMs: number
}

/** The keys of users, with what the asker may see; users that are unknown are left out. */
export async function queryKeys(env: Env, asker: Asker, queries: readonly KeyQuery[]): Promise<FoundKeys> {
  const local = queries.filter(({ userId }) => isLocal(env, userId))
  const remote = queries.filter(({ userId }) => !isLocal(env, userId))
  const shards = await byShard(env, local)
  const own = shards.get(asker.shard) ?? []
  shards.delete(asker.shard)
  const elsewhere = [...shards.values()].flat()
  const [answer, ...others] = await Promise.all([
    ask(env, asker.shard, {
      users: own,
      asker: asker.userId,
      others: [...elsewhere, ...remote].map(({ userId }) => userId),
      remote: remote.map(({ userId }) => userId),
    }),
    ...[...shards].map(([shard, users]) => ask(env, shard, { users })),
  ])
  const fetched = await remoteKeys(env, asker, remote, answer.remote)
  const found = [...[answer, ...others].flatMap(({ users }) => entriesOf(users)), ...fetched.users]
  return {
    users: new Map(found.map(([userId, keys]) => [userId, withOwnSignature(asker, answer, userId, keys)])),
    failures: fetched.failures,
  }
}

async function ask(env: Env, shard: number, request: KeyQueryRequest): Promise<KeyQueryAnswer> {
  // Written by `answerKeyQuery`.
  return JSON.parse(await hubStub(env, shard).queryKeys(request)) as KeyQueryAnswer
}

function entriesOf(users: KeyQueryAnswer['users']): [UserId, UserKeys][] {
  return Object.entries(users) as [UserId, UserKeys][]
}

// What the asker has signed of another's master key is for the asker alone.
function withOwnSignature(
  asker: Asker,
  { signed }: KeyQueryAnswer,
  userId: UserId,
  keys: UserKeys,
): UserKeys {
  const own = signed[userId]
  const { master } = keys
  if (!own || !master || !(`ed25519:${own.signedKey}` in (objectProperty(master, 'keys') ?? {}))) return keys
  const signatures = { ...objectProperty(master, 'signatures'), [asker.userId]: { ...own.signatures } }
  return { ...keys, master: { ...master, signatures } }
}

// One fetch of a list at a time. Longer than any of them takes.
const fetching = sharedWork(30_000)

async function remoteKeys(
  env: Env,
  asker: Asker,
  queries: readonly KeyQuery[],
  known: readonly RemoteKeys[],
): Promise<FoundKeys> {
  const lists = await settled(env, asker, known)
  const fetched = new Map<UserId, UserKeys>()
  const missing = queries.filter(({ userId }) => lists.get(userId)?.fresh !== true)
  const failures = await askServers(
    Map.groupBy(missing, ({ userId }) => serverNameOf(userId)),
    async (server, ofServer) => {
      const shared = ofServer.filter(({ userId }) => lists.get(userId)?.shared)
      const names = shared.map(({ userId }) => userId)
      const work = fetchFrom(env, asker, server, ofServer, lists, fetched)
      await (names.length > 0 ? fetching.start(names, work) : work)
    },
  )
  const users = queries.flatMap(({ userId, deviceIds }) => {
    // What was known last is better than nothing where the other server cannot be asked.
    const keys =
      fetched.get(userId) ??
      (failures[serverNameOf(userId)] || lists.get(userId)?.fresh ? lists.get(userId)?.kept : undefined)
    return keys ? [[userId, onlyDevices(keys, deviceIds)] as const] : []
  })
  return { users: new Map(users), failures }
}

/** What is kept of users, after what another request fetches of them just now. */
async function settled(
  env: Env,
  asker: Asker,
  known: readonly RemoteKeys[],
): Promise<Map<UserId, RemoteKeys>> {
  const busy = known.filter(({ userId, fresh }) => !fresh && fetching.running(userId) !== undefined)
  await Promise.allSettled(busy.map(async ({ userId }) => await fetching.running(userId)))
  const again =
    busy.length > 0
      ? await ask(env, asker.shard, { users: [], remote: busy.map(({ userId }) => userId) })
      : undefined
  return new Map([...known, ...(again?.remote ?? [])].map((keys) => [keys.userId, keys]))
}

// With a number that further updates can be held against; for more users than that, one request for all of them.
const mostLists = 3

async function fetchFrom(
  env: Env,
  asker: Asker,
  server: ServerName,
  queries: readonly KeyQuery[],
  lists: ReadonlyMap<UserId, RemoteKeys>,
  fetched: Map<UserId, UserKeys>,
): Promise<void> {
  const { timeoutMs, shard } = asker
  const position = (userId: UserId) => lists.get(userId)?.position ?? 0
  const shared = queries.filter(({ userId }) => lists.get(userId)?.shared)
  const kept: FetchedKeys[] = []
  if (shared.length <= mostLists) {
    const found = await Promise.all(
      shared.map(async ({ userId }) => ({ userId, list: await fetchDeviceList(env, userId, timeoutMs) })),
    )
    for (const { userId, list } of found) if (list) kept.push({ userId, ...list, position: position(userId) })
  }
  const listed = new Set(kept.map(({ userId }) => userId))
  const others = queries.filter(({ userId }) => !listed.has(userId))
  if (others.length > 0) {
    // Of those that are kept, all devices.
    const isShared = (userId: UserId) => lists.get(userId)?.shared === true
    const asked = others.map(({ userId, deviceIds }) => ({
      userId,
      deviceIds: isShared(userId) ? [] : deviceIds,
    }))
    for (const [userId, keys] of await fetchKeys(env, server, asked, timeoutMs)) {
      fetched.set(userId, keys)
      if (isShared(userId)) kept.push({ userId, keys, position: position(userId) })
    }
  }
  for (const { userId, keys } of kept) fetched.set(userId, keys)
  if (kept.length > 0) await hubStub(env, shard).keepRemoteKeys(kept)
}

function onlyDevices(keys: UserKeys, deviceIds: readonly string[]): UserKeys {
  if (deviceIds.length === 0) return keys
  const devices = Object.entries(keys.devices).filter(([id]) => deviceIds.includes(id))
  return { ...keys, devices: Object.fromEntries(devices) }
}

/** The answer of POST /keys/query, without failures. */
export function keysByKind(users: ReadonlyMap<UserId, UserKeys>): JsonObject {
  const of = (pick: (keys: UserKeys) => JsonObject | undefined): JsonObject =>
    Object.fromEntries(
      [...users].flatMap(([userId, keys]) => {
        const picked = pick(keys)
        return picked ? [[userId, picked] as const] : []
      }),
    )
  return {
    device_keys: of(({ devices }) => devices),
    master_keys: of(({ master }) => master),
    self_signing_keys: of(({ selfSigning }) => selfSigning),
    user_signing_keys: of(({ userSigning }) => userSigning),
  }
}

/** How long other servers may take for keys, in milliseconds; a client may want it shorter. */
export function keyTimeout(wanted: number | undefined): number {
  return Math.min(Math.max(wanted ?? 10_000, 100), 20_000)
}
