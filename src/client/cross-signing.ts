// Specification: client-server API, "Cross-signing": POST /keys/device_signing/upload, POST /keys/signatures/upload.

import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { SignatureFailure, SignedKey } from '../hub/upload-signatures.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { interactiveAuth } from '../http/interactive-auth.ts'
import { jsonObject } from '../http/json-body.ts'
import { crossSigningFlows } from '../http/owner-flows.ts'
import { requireSession, type Session } from '../http/session.ts'
import { CanonicalJsonError, canonicalJson } from '../matrix/canonical-json.ts'
import { type KeyUsage, parseCrossSigningKey } from '../matrix/cross-signing-key.ts'
import { isJsonObject, type JsonObject, property } from '../matrix/json.ts'
import { checkedUserId } from './path-params.ts'
import { keyTimeout, queryKeys } from './query-keys.ts'

/** POST /keys/device_signing/upload and /keys/signatures/upload, also by the names they had at first. */
export function crossSigningRoutes(app: App): void {
  for (const version of ['v3', 'unstable']) {
    // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysdevice_signingupload
    app.post(`/_matrix/client/${version}/keys/device_signing/upload`, requireSession(), uploadSigningKeys)

    // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keyssignaturesupload
    app.post(`/_matrix/client/${version}/keys/signatures/upload`, requireSession(), uploadSignatures)
  }
}

async function uploadSigningKeys(c: AppContext): Promise<Response> {
  const { session } = c.var
  const body = await canonicalBody(c)
  const keys = {
    userId: session.userId,
    ...signingKey(body, 'master_key', 'master', session, 'master'),
    ...signingKey(body, 'self_signing_key', 'self_signing', session, 'selfSigning'),
    ...signingKey(body, 'user_signing_key', 'user_signing', session, 'userSigning'),
  }
  const hub = hubStub(c.env, session.shard)
  // The first keys, and the same ones once more, need no authentication.
  if (await hub.uploadSigningKeys({ ...keys, authenticated: false })) return c.json({})
  const auth = await interactiveAuth(c, { body, flows: await crossSigningFlows(c.env, session), session })
  if (auth instanceof Response) return auth
  await hub.uploadSigningKeys({ ...keys, authenticated: true })
  return c.json({})
}

function signingKey<Name extends string>(
  body: JsonObject,
  field: string,
  usage: KeyUsage,
  { userId }: Session,
  name: Name,
): { [N in Name]?: JsonObject } {
  const value = property(body, field) ?? undefined
  if (value === undefined) return {}
  const key = parseCrossSigningKey(value, userId, usage)
  if ('fault' in key) throw new MatrixError('M_INVALID_PARAM', 400, `Invalid field ${field}: ${key.fault}`)
  return { [name]: key.object } as { [N in Name]?: JsonObject }
}

async function uploadSignatures(c: AppContext): Promise<Response> {
  const { userId, shard } = c.var.session
  const signed = Object.entries(await canonicalBody(c)).flatMap(([id, keys]): SignedKey[] => {
    const target = checkedUserId('body', id)
    if (!isJsonObject(keys)) throw new MatrixError('M_BAD_JSON', 400, `Invalid field ${id}: not an object`)
    return Object.entries(keys).map(([key, object]) => ({ target, key, object }))
  })
  const failures = await hubStub(c.env, shard).uploadSignatures(userId, await withMasters(c, signed))
  return c.json({ failures: byUserAndKey(failures) })
}

// What is signed must be the key that its user has uploaded, wherever that is.
async function withMasters(c: AppContext, signed: readonly SignedKey[]): Promise<SignedKey[]> {
  const { userId, shard } = c.var.session
  const others = [...new Set(signed.map(({ target }) => target))].filter((target) => target !== userId)
  if (others.length === 0) return [...signed]
  const { users } = await queryKeys(
    c.env,
    { userId, shard, timeoutMs: keyTimeout(undefined) },
    others.map((target) => ({ userId: target, deviceIds: [] })),
  )
  return signed.map((key) => {
    const master = users.get(key.target)?.master
    return key.target !== userId && master ? { ...key, master } : key
  })
}

function byUserAndKey(failures: readonly SignatureFailure[]) {
  const byUser = Map.groupBy(failures, ({ target }) => target)
  return Object.fromEntries(
    [...byUser].map(([target, ofUser]) => [
      target,
      Object.fromEntries(ofUser.map(({ key, errcode, error }) => [key, { errcode, error }])),
    ]),
  )
}

/** The body, which must have canonical JSON: what is signed has. M_BAD_JSON. */
async function canonicalBody(c: AppContext): Promise<JsonObject> {
  const body = await jsonObject(c)
  try {
    canonicalJson(body, { strict: false })
    return body
  } catch (error) {
    if (error instanceof CanonicalJsonError) throw new MatrixError('M_BAD_JSON', 400, error.message)
    throw error
  }
}
