// Specification: client-server API, POST /keys/query and POST /keys/claim.

import * as v from 'valibot'
import { type Env, hubStub } from '../env.ts'
import { fetchClaimedKeys } from '../federation/client/user-keys.ts'
import type { ClaimedKey, KeyClaim } from '../hub/one-time-keys.ts'
import type { App } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import type { UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import { claimsOf, deviceKeysField, oneTimeKeysField, queriesOf } from './key-requests.ts'
import { askServers, byShard, type Failures } from './key-servers.ts'
import { checkedUserId, isLocal } from './path-params.ts'
import { keysByKind, keyTimeout, queryKeys } from './query-keys.ts'

const timeout = v.optional(v.pipe(v.number(), v.minValue(0)))
const keyQuery = v.object({ timeout, device_keys: deviceKeysField })
const keyClaim = v.object({ timeout, one_time_keys: oneTimeKeysField })

/** POST /keys/query and /keys/claim. */
export function keysQueryRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysquery
  app.post('/_matrix/client/v3/keys/query', requireSession({ guests: true }), async (c) => {
    const body = await jsonBody(c, keyQuery)
    const { userId, shard } = c.var.session
    const queries = queriesOf(body.device_keys, (id) => checkedUserId('device_keys', id))
    const asker = { userId, shard, timeoutMs: keyTimeout(body.timeout) }
    const { users, failures } = await queryKeys(c.env, asker, queries)
    return c.json({ ...keysByKind(users), failures })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysclaim
  app.post('/_matrix/client/v3/keys/claim', requireSession({ guests: true }), async (c) => {
    const body = await jsonBody(c, keyClaim)
    const claims = claimsOf(body.one_time_keys, (id) => checkedUserId('one_time_keys', id))
    const { keys, failures } = await claimKeys(c.env, claims, keyTimeout(body.timeout))
    return c.json({ one_time_keys: claimedByUser(keys), failures })
  })
}

async function claimKeys(
  env: Env,
  claims: readonly KeyClaim[],
  timeoutMs: number,
): Promise<{ keys: ClaimedKey[]; failures: Failures }> {
  const remote = claims.filter(({ userId }) => !isLocal(env, userId))
  const keys: ClaimedKey[] = []
  const [failures] = await Promise.all([
    askServers(
      Map.groupBy(remote, ({ userId }) => serverNameOf(userId)),
      async (server, ofServer) =>
        void keys.push(...(await fetchClaimedKeys(env, server, ofServer, timeoutMs))),
    ),
    claimLocalKeys(
      env,
      claims.filter(({ userId }) => isLocal(env, userId)),
    ).then((found) => keys.push(...found)),
  ])
  return { keys, failures }
}

/** Claims keys of local users. */
export async function claimLocalKeys(env: Env, claims: readonly KeyClaim[]): Promise<ClaimedKey[]> {
  const shards = [...(await byShard(env, claims))]
  const found = await Promise.all(
    shards.map(async ([shard, ofShard]) => await hubStub(env, shard).claimKeys(ofShard)),
  )
  return found.flat()
}

/** Claimed keys as they are answered: user id → device id → key id → key. */
export function claimedByUser(keys: readonly ClaimedKey[]) {
  const byUser = Map.groupBy(keys, ({ userId }) => userId)
  const ofUser = (claimed: readonly ClaimedKey[]) =>
    Object.fromEntries(claimed.map(({ deviceId, keyId, key }) => [deviceId, { [keyId]: parsed(key) }]))
  return Object.fromEntries<Record<string, Record<string, string | object>>>(
    [...byUser].map(([userId, claimed]: [UserId, ClaimedKey[]]) => [userId, ofUser(claimed)]),
  )
}

function parsed(key: string): string | object {
  // A string or an object: see uploaded-keys.ts.
  return JSON.parse(key) as string | object
}
