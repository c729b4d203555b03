// Signing keys of other servers in D1, and the signed answers they came in.

import { inArray, sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { ServerName } from '../matrix/event.ts'
import { database, statement } from './database.ts'
import { remoteKeys } from './schema/remote-keys.ts'

export type RemoteKey = Omit<typeof remoteKeys.$inferSelect, 'response'>

/** A signed answer with the keys that it is kept for. */
export interface KeyAnswer {
  readonly serverName: ServerName
  readonly keyId: string
  readonly fetchedAt: number
  /** JSON text. */
  readonly response: string
}

// D1 takes 100 parameters.
const serversPerQuery = 90

/** All keys known of some servers. */
export async function findRemoteKeys(env: Env, serverNames: readonly ServerName[]): Promise<RemoteKey[]> {
  const { response: _, ...columns } = remoteKeyColumns
  return await perServers(serverNames, (names) =>
    database(env).select(columns).from(remoteKeys).where(inArray(remoteKeys.serverName, names)),
  )
}

/** The signed answers that hold keys of some servers, newest first. */
export async function findKeyAnswers(env: Env, serverNames: readonly ServerName[]): Promise<KeyAnswer[]> {
  const { serverName, keyId, fetchedAt, response } = remoteKeyColumns
  const rows = await perServers(serverNames, (names) =>
    database(env)
      .select({ serverName, keyId, fetchedAt, response })
      .from(remoteKeys)
      .where(inArray(remoteKeys.serverName, names)),
  )
  return rows
    .flatMap((row) => (row.response === null ? [] : [{ ...row, response: row.response }]))
    .sort((left, right) => right.fetchedAt - left.fetchedAt)
}

async function perServers<T>(
  serverNames: readonly ServerName[],
  find: (names: ServerName[]) => Promise<T[]>,
): Promise<T[]> {
  const found: T[] = []
  for (let at = 0; at < serverNames.length; at += serversPerQuery) {
    found.push(...(await find(serverNames.slice(at, at + serversPerQuery))))
  }
  return found
}

/** A key with the signed answer that it came in, as JSON text. */
export interface AnsweredKey extends RemoteKey {
  readonly response: string
}

// A parameter has two megabytes at most.
const mostCharacters = 500_000

/** Keeps keys: one row written for each, one query for many. Those in use are kept with the answer itself. */
export async function keepRemoteKeys(env: Env, keys: readonly AnsweredKey[]): Promise<void> {
  let part: AnsweredKey[] = []
  let size = 0
  for (const key of keys) {
    if (size + key.response.length > mostCharacters && part.length > 0) {
      await keepPart(env, part)
      part = []
      size = 0
    }
    part.push(key)
    size += key.response.length
  }
  if (part.length > 0) await keepPart(env, part)
  if (keys.length > 0 && Math.random() < pruningShare) await pruneRemoteKeys(env)
}

// How many of the writes look after what is too much.
const pruningShare = 1 / 100

/** What is kept of the keys of other servers: those that were fetched last. */
export interface KeyLimits {
  /** All in all, with their answers. */
  readonly bytes: number
  readonly perServer: number
}

const standardLimits: KeyLimits = { bytes: 40_000_000, perServer: 200 }

/** Forgets the keys beyond the limits; they can be asked for again. */
export async function pruneRemoteKeys(
  env: Pick<Env, 'DB'>,
  limits: KeyLimits = standardLimits,
): Promise<void> {
  await statement(
    env,
    sql`DELETE FROM remote_keys WHERE (server_name, key_id) IN (
          SELECT server_name, key_id FROM (
            SELECT server_name, key_id,
              row_number() OVER (PARTITION BY server_name ORDER BY old, fetched_at DESC) AS nth,
              sum(octet_length(server_name) + octet_length(key_id) + 100 + ifnull(octet_length(response), 0))
                OVER (ORDER BY fetched_at DESC, server_name, key_id) AS bytes
            FROM remote_keys)
          WHERE nth > ${limits.perServer} OR bytes > ${limits.bytes})`,
  ).run()
}

async function keepPart(env: Env, keys: readonly AnsweredKey[]): Promise<void> {
  const rows = keys.map((key) => [
    key.serverName,
    key.keyId,
    key.publicKey,
    key.validUntilTs,
    key.old ? 1 : 0,
    key.fetchedAt,
    key.old ? null : key.response,
  ])
  await statement(
    env,
    sql`INSERT INTO remote_keys (server_name, key_id, public_key, valid_until_ts, old, fetched_at, response)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6
        FROM json_each(${JSON.stringify(rows)}) WHERE true
        ON CONFLICT (server_name, key_id) DO UPDATE SET
          public_key = excluded.public_key, valid_until_ts = excluded.valid_until_ts, old = excluded.old,
          fetched_at = excluded.fetched_at, response = coalesce(excluded.response, response)`,
  ).run()
}

const remoteKeyColumns = {
  serverName: remoteKeys.serverName,
  keyId: remoteKeys.keyId,
  publicKey: remoteKeys.publicKey,
  validUntilTs: remoteKeys.validUntilTs,
  old: remoteKeys.old,
  fetchedAt: remoteKeys.fetchedAt,
  response: remoteKeys.response,
}
