// Which server is asking: the X-Matrix signatures of a request, checked with that server's published keys.
// Specification: server-server API, "Request Authentication".

import { config } from '../config.ts'
import { MatrixError } from '../errors.ts'
import { keysFor } from '../federation/client/key-ring.ts'
import { signedRequest, type RequestTarget } from '../federation/client/x-matrix.ts'
import { CanonicalJsonError, canonicalJson } from '../matrix/canonical-json.ts'
import type { ServerName } from '../matrix/event.ts'
import { type JsonFault, parseJson } from '../matrix/json-text.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import { verifySignature } from '../matrix/signing.ts'
import type { AppContext } from './app-type.ts'
import { boundedBody } from './bounded-body.ts'
import { parseXMatrix, type XMatrixCredentials } from './x-matrix-header.ts'

/** A request that another server has made and nobody has changed. */
export interface FederationRequest {
  readonly origin: ServerName
  /** The body, empty where there was none. */
  readonly content: JsonObject
  /** What of the body room versions 6 and later must refuse, with the way to it. */
  readonly faults: readonly JsonFault[]
}

interface Body {
  /** Undefined where there was none: then it is not signed either. */
  readonly text: string | undefined
  readonly content: JsonObject
  readonly faults: readonly JsonFault[]
}

interface VerifiableSignature {
  readonly signature: string
  readonly key: Uint8Array
}

/**
 * Authenticates a request. 401 M_UNAUTHORIZED unless a signature is there, is by a key that its origin uses now, and covers
 * this very request to this server; M_TOO_LARGE, M_NOT_JSON and M_BAD_JSON for a body that cannot be looked at.
 */
export async function authenticate(c: AppContext, maxBytes: number): Promise<FederationRequest> {
  const credentials = credentialsOf(c)
  const origin = originOf(c, credentials)
  // Before the body: it may be large.
  const signatures = await verifiable(c, origin, credentials)
  const body = await readBody(c, maxBytes)
  const { serverName: destination } = config(c.env)
  const target = { method: c.req.method, uri: requestUri(c), origin, destination }
  if (!signatures.every((signature) => covers(signature, target, body))) {
    throw unauthorized(`The signature of ${origin} is not of this request`)
  }
  return { origin, content: body.content, faults: body.faults }
}

function credentialsOf(c: AppContext): XMatrixCredentials[] {
  const header = c.req.header('Authorization')
  if (header === undefined) throw unauthorized('The Authorization header is missing')
  const credentials = parseXMatrix(header)
  if (!credentials) throw unauthorized('The Authorization header is not X-Matrix, or malformed')
  return credentials
}

function originOf(c: AppContext, credentials: readonly XMatrixCredentials[]): ServerName {
  const { serverName } = config(c.env)
  const origin = credentials[0]?.origin
  if (origin === undefined || credentials.some((one) => one.origin !== origin)) {
    throw unauthorized('The request must have one origin')
  }
  // Nothing of ours travels over federation to ourselves.
  if (origin === serverName) throw unauthorized('The request says that it comes from this server')
  // Since v1.3: a destination that is named must be us.
  if (credentials.some(({ destination }) => destination !== undefined && destination !== serverName)) {
    throw unauthorized(`The request is not for ${serverName}`)
  }
  return origin
}

/** The signatures by keys that the origin uses now. Others are skipped, but there must be one. */
async function verifiable(
  c: AppContext,
  origin: ServerName,
  credentials: readonly XMatrixCredentials[],
): Promise<VerifiableSignature[]> {
  const now = Date.now()
  const wanted = credentials.map(({ keyId }) => ({ serverName: origin, keyId, minimumValidUntilTs: now }))
  const known = (await keysFor(c.env, wanted))[origin] ?? {}
  const signatures = credentials.flatMap(({ keyId, signature }) => {
    const key = Object.hasOwn(known, keyId) ? known[keyId] : undefined
    return key && (key.validUntilTs ?? 0) >= now ? [{ signature, key: key.key }] : []
  })
  if (signatures.length === 0) throw unauthorized(`No valid key of ${origin} is known for the signature`)
  return signatures
}

async function readBody(c: AppContext, maxBytes: number): Promise<Body> {
  const tooLarge = new MatrixError('M_TOO_LARGE', 413, 'The request body is too large')
  if (Number(c.req.header('Content-Length') ?? 0) > maxBytes) throw tooLarge
  const bytes = await boundedBody(c.req.raw.body, maxBytes)
  if (!bytes) throw tooLarge
  if (bytes.byteLength === 0) return { text: undefined, content: {}, faults: [] }
  const { text, value, faults } = parsed(bytes)
  if (!isJsonObject(value)) throw new MatrixError('M_BAD_JSON', 400, 'The request body must be a JSON object')
  // Those of a transaction are judged one by one.
  if (faults.some(({ kind, path: [key] }) => kind === 'depth' && key !== 'pdus' && key !== 'edus')) {
    throw new MatrixError('M_BAD_JSON', 400, 'The request body is nested too deeply')
  }
  return { text, content: value, faults }
}

function parsed(bytes: Uint8Array) {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return { text, ...parseJson(text) }
  } catch {
    throw new MatrixError('M_NOT_JSON', 400, 'The request body is not JSON in UTF-8')
  }
}

function covers({ signature, key }: VerifiableSignature, target: RequestTarget, body: Body): boolean {
  // Most servers send what they signed, canonical JSON. That spares writing it anew, and keeps numbers as they are.
  if (verifySignature(signedRequest(target, body.text), signature, key)) return true
  const canonical = body.text === undefined ? undefined : canonicalText(body.content)
  return canonical !== undefined && verifySignature(signedRequest(target, canonical), signature, key)
}

function canonicalText(content: JsonObject): string | undefined {
  try {
    return canonicalJson(content, { strict: false })
  } catch (error) {
    if (error instanceof CanonicalJsonError) return undefined
    throw error
  }
}

/** Path and query as they came in: parsing could change how they are escaped. */
function requestUri(c: AppContext): string {
  return c.req.raw.url.replace(/^[a-z]+:\/\/[^/]*/i, '')
}

function unauthorized(message: string): MatrixError {
  return new MatrixError('M_UNAUTHORIZED', 401, message)
}
