// Whom to ask for keys: the Hub shards of local users, and other servers, several at once and not too many.

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { errorMessage } from '../log.ts'
import type { ServerName, UserId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { shardOf } from '../storage/users.ts'

/** Why servers could not be asked, by server. */
export type Failures = Record<ServerName, JsonObject>

// Connections that wait for an answer on Workers, and subrequests of a request on the free plan with room for others.
const atOnce = 6
const mostServers = 30

/** Asks servers, each with its items. Answers what failed. */
export async function askServers<T>(
  byServer: ReadonlyMap<ServerName, readonly T[]>,
  ask: (server: ServerName, items: readonly T[]) => Promise<void>,
): Promise<Failures> {
  const failures: Failures = {}
  const queue = [...byServer].slice(0, mostServers)
  for (const [server] of [...byServer].slice(mostServers)) {
    failures[server] = { errcode: 'M_LIMIT_EXCEEDED', error: 'Too many servers for one request' }
  }
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [server, items] = next
      try {
        await ask(server, items)
      } catch (error) {
        failures[server] = { errcode: 'M_UNKNOWN', error: errorMessage(error) }
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return failures
}

/** Items about local users by the shard of their user. Users that do not exist are left out. */
export async function byShard<T extends { readonly userId: UserId }>(
  env: Env,
  items: readonly T[],
): Promise<Map<number, T[]>> {
  // A single shard knows who exists.
  if (config(env).hubShards === 1) return items.length > 0 ? new Map([[0, [...items]]]) : new Map()
  const placed = await Promise.all(
    items.map(async (item) => ({ item, shard: await shardOf(env, item.userId) })),
  )
  const shards = new Map<number, T[]>()
  for (const { item, shard } of placed) {
    if (shard !== undefined) shards.set(shard, [...(shards.get(shard) ?? []), item])
  }
  return shards
}
