// Keys of other servers for those who cannot ask them, signed by us as well.
// Server-server API, "Querying Keys Through Another Server".

import * as v from 'valibot'
import { config } from '../../config.ts'
import type { Env } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import { jsonBody, queryParams } from '../../http/json-body.ts'
import { ownSigner } from '../../keys/own-signer.ts'
import type { ServerName } from '../../matrix/event.ts'
import { parseServerName } from '../../matrix/identifiers.ts'
import type { JsonObject } from '../../matrix/json.ts'
import { isJsonObject } from '../../matrix/json.ts'
import { signJson } from '../../matrix/signing.ts'
import { findKeyAnswers, type KeyAnswer } from '../../storage/remote-keys.ts'
import { fetchDirectly } from '../client/key-ring.ts'
import { knownKeys } from '../client/key-store.ts'
import type { FederationRouter } from './router.ts'
import { ownKeyAnswer } from './server-keys.ts'

// How many servers are asked anew for one query, and how many are looked up at all: each is a subrequest.
const mostAsked = 20
const mostServers = 200

const timestamp = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const query = v.object({
  minimum_valid_until_ts: v.optional(v.pipe(v.string(), v.digits(), v.transform(Number), timestamp)),
})
const batch = v.looseObject({
  server_keys: v.record(
    v.string(),
    v.record(v.string(), v.looseObject({ minimum_valid_until_ts: v.optional(timestamp) })),
  ),
})

/** What is wanted of one server: keys until when each must be valid (ms), all of them if none is named. */
interface Wanted {
  readonly serverName: ServerName
  readonly keys: ReadonlyMap<string, number>
  /** Until when the answer must be valid (ms) where no key is named. */
  readonly until: number
}

/** GET /_matrix/key/v2/query/{serverName} and POST /_matrix/key/v2/query. */
export function notaryRoutes({ openRoute }: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixkeyv2queryservername
  openRoute('GET', '/_matrix/key/v2/query/:serverName', async (c) => {
    const { minimum_valid_until_ts: until = Date.now() } = queryParams(c, query)
    const serverName = parseServerName(c.req.param('serverName') ?? '')
    if (!serverName) throw new MatrixError('M_INVALID_PARAM', 400, 'serverName is not a server name')
    return c.json({ server_keys: await notarised(c.env, [{ serverName, keys: new Map(), until }]) })
  })

  // https://spec.matrix.org/v1.19/server-server-api/#post_matrixkeyv2query
  openRoute('POST', '/_matrix/key/v2/query', async (c) => {
    const { server_keys: servers } = await jsonBody(c, batch)
    const now = Date.now()
    const wanted = Object.entries(servers).map(([name, criteria]): Wanted => {
      const serverName = parseServerName(name)
      if (!serverName) throw new MatrixError('M_INVALID_PARAM', 400, `server_keys: not a server name`)
      const keys = Object.entries(criteria).map(
        ([keyId, { minimum_valid_until_ts: until = now }]) => [keyId, until] as const,
      )
      return { serverName, keys: new Map(keys), until: now }
    })
    if (wanted.length > mostServers) {
      throw new MatrixError('M_TOO_LARGE', 413, `server_keys: more than ${mostServers} servers`)
    }
    return c.json({ server_keys: await notarised(c.env, wanted) })
  })
}

/** The answers of servers about their keys, as kept or just fetched, with our signature. */
async function notarised(env: Env, wanted: readonly Wanted[]): Promise<JsonObject[]> {
  const own = config(env).serverName
  const remote = wanted.filter(({ serverName }) => serverName !== own)
  const names = remote.map(({ serverName }) => serverName)
  const known = await knownKeys(env, names, true)
  const now = Date.now()
  const lacking = remote.filter((one) =>
    isLacking(one, [...(known.get(one.serverName)?.values() ?? [])], now),
  )
  await fetchDirectly(
    env,
    lacking.slice(0, mostAsked).map(({ serverName }) => serverName),
  )

  const signer = await ownSigner(env)
  const documents: JsonObject[] = wanted.length > remote.length ? [JSON.parse(await ownKeyAnswer(env))] : []
  const answers = Map.groupBy(await findKeyAnswers(env, names), ({ serverName }) => serverName)
  for (const { serverName, keys } of remote) {
    for (const text of chosen(answers.get(serverName) ?? [], keys)) {
      const document: unknown = JSON.parse(text)
      if (isJsonObject(document)) documents.push(signJson(document, own, signer.keyId, signer.key))
    }
  }
  return documents
}

/** Whether what is known must be asked for again. */
function isLacking(
  { keys, until }: Wanted,
  known: readonly { readonly keyId: string; readonly validUntilTs: number; readonly old: boolean }[],
  now: number,
): boolean {
  if (keys.size === 0)
    return !known.some(({ old, validUntilTs }) => !old && validUntilTs >= Math.max(until, now))
  return [...keys].some(
    ([keyId, minimum]) =>
      !known.some((key) => key.keyId === keyId && (key.old || key.validUntilTs >= minimum)),
  )
}

/** The newest answer, and each older one that alone holds a key that is asked for. */
function chosen(answers: readonly KeyAnswer[], keys: ReadonlyMap<string, number>): Set<string> {
  const newest = answers[0]
  const holding = answers.filter(({ keyId }) => keys.has(keyId))
  return new Set([...(newest ? [newest] : []), ...holding].map(({ response }) => response))
}
