// Asking for the signing keys of other servers: themselves, or a notary.
// Server-server API, "Publishing Keys", "Querying Keys Through Another Server".

import type { Env } from '../../env.ts'
import { errorMessage, log } from '../../log.ts'
import type { ServerName } from '../../matrix/event.ts'
import { isJsonObject, type JsonObject, type JsonValue, property, stringProperty } from '../../matrix/json.ts'
import { parseServerName } from '../../matrix/identifiers.ts'
import { verifyJson } from '../../matrix/signing.ts'
import { checkKeyAnswer, type PublishedKey } from './key-answer.ts'
import { federationRequest } from './request.ts'

/** A checked answer. */
export interface FetchedKeys {
  readonly serverName: ServerName
  readonly keys: readonly PublishedKey[]
  readonly answer: JsonObject
}

export interface NotaryQuery {
  readonly serverName: ServerName
  readonly keyId: string
  readonly minimumValidUntilTs: number
}

/** A key that a notary signs with. */
export interface NotaryKey {
  readonly keyId: string
  readonly key: Uint8Array
}

const directTimeoutMs = 10_000
const notaryTimeoutMs = 20_000
const maxAnswerBytes = 64 * 1024
const maxNotaryBytes = 4 * 1024 * 1024

/** What a server says about its own keys. Undefined if it cannot be reached or the answer does not hold. */
export async function fetchKeys(env: Env, serverName: ServerName): Promise<FetchedKeys | undefined> {
  try {
    const { status, body } = await federationRequest(env, {
      destination: serverName,
      method: 'GET',
      path: '/_matrix/key/v2/server',
      signed: false,
      timeoutMs: directTimeoutMs,
      maxBytes: maxAnswerBytes,
    })
    const keys = status === 200 ? checkKeyAnswer(body, serverName, Date.now()) : undefined
    if (keys) return { serverName, keys, answer: body }
    log({ event: 'keys_not_fetched', server_name: serverName, error: `not valid, status ${status}` })
  } catch (error) {
    log({ event: 'keys_not_fetched', server_name: serverName, error: errorMessage(error) })
  }
  return undefined
}

/** What a notary says about keys of other servers: only what holds by itself and is signed by the notary. */
export async function queryNotary(
  env: Env,
  notary: ServerName,
  notaryKeys: readonly NotaryKey[],
  queries: readonly NotaryQuery[],
): Promise<FetchedKeys[]> {
  try {
    const { status, body } = await federationRequest(env, {
      destination: notary,
      method: 'POST',
      path: '/_matrix/key/v2/query',
      content: { server_keys: criteria(queries) },
      signed: false,
      timeoutMs: notaryTimeoutMs,
      maxBytes: maxNotaryBytes,
    })
    const answers = status === 200 ? property(body, 'server_keys') : undefined
    if (!Array.isArray(answers)) throw new Error(`no server_keys, status ${status}`)
    const asked = new Set(queries.map(({ serverName }) => serverName))
    return answers.flatMap((answer) => checkNotarised(answer, asked, notary, notaryKeys))
  } catch (error) {
    log({ event: 'keys_not_fetched', server_name: notary, error: `as a notary: ${errorMessage(error)}` })
    return []
  }
}

function criteria(queries: readonly NotaryQuery[]): JsonObject {
  const byServer = Map.groupBy(queries, ({ serverName }) => serverName)
  return Object.fromEntries(
    [...byServer].map(([serverName, wanted]) => [
      serverName,
      Object.fromEntries(
        wanted.map(({ keyId, minimumValidUntilTs }) => [
          keyId,
          { minimum_valid_until_ts: minimumValidUntilTs },
        ]),
      ),
    ]),
  )
}

function checkNotarised(
  answer: JsonValue,
  asked: ReadonlySet<ServerName>,
  notary: ServerName,
  notaryKeys: readonly NotaryKey[],
): FetchedKeys[] {
  if (!isJsonObject(answer)) return []
  const serverName = parseServerName(stringProperty(answer, 'server_name') ?? '')
  if (serverName === undefined || !asked.has(serverName)) return []
  if (!notaryKeys.some(({ keyId, key }) => verifyJson(answer, notary, keyId, key))) return []
  const keys = checkKeyAnswer(answer, serverName, Date.now())
  return keys ? [{ serverName, keys, answer }] : []
}
