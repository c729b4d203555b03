// Requests to other servers: signed, sent, their answers read as JSON. Server-server API, "API standards",
// "Request Authentication".

import { config } from '../../config.ts'
import type { Env } from '../../env.ts'
import { isMatrixError, MatrixError } from '../../errors.ts'
import { boundedBody } from '../../http/bounded-body.ts'
import { ownSigner } from '../../keys/own-signer.ts'
import { canonicalJson } from '../../matrix/canonical-json.ts'
import type { ServerName } from '../../matrix/event.ts'
import { type JsonFault, parseJson } from '../../matrix/json-text.ts'
import { isJsonObject, type JsonObject } from '../../matrix/json.ts'
import { implementation } from '../../version.ts'
import { cloudflareTransport } from './cloudflare-transport.ts'
import { launcherTransport } from './launcher-transport.ts'
import { type OutboundRequest, type Transport, unreachable } from './transport.ts'
import { authorizationHeader } from './x-matrix.ts'

export interface FederationCall {
  readonly destination: ServerName
  readonly method: 'GET' | 'POST' | 'PUT'
  /** Path and query from `/_matrix/` on, each identifier in it escaped with encodeURIComponent. */
  readonly path: string
  /** The body. */
  readonly content?: JsonObject
  /** For the whole answer, in milliseconds; for `federationFetch`, until its body begins. */
  readonly timeoutMs: number
  /** False for the endpoints that ask for no authentication. */
  readonly signed?: boolean
}

export interface JsonCall extends FederationCall {
  /** The largest answer taken, in bytes. */
  readonly maxBytes?: number
}

export interface FederationAnswer {
  readonly status: number
  /** Empty where an answer other than 2xx is not JSON. */
  readonly body: JsonObject
  /** What of the body room versions 6 and later must refuse, with the way to it. */
  readonly faults: readonly JsonFault[]
}

const standardMaxBytes = 8 * 1024 * 1024

/**
 * Sends a request and reads the answer, whatever its status. 502 M_CONNECTION_FAILED if the server cannot be reached or does
 * not answer with a JSON object, 504 M_CONNECTION_TIMEOUT.
 */
export async function federationRequest(env: Env, call: JsonCall): Promise<FederationAnswer> {
  const request = await prepared(env, call)
  return await withTimeout(call, async (signal) => {
    const response = await transportOf(env)({ ...request, signal })
    const bytes = await boundedBody(response.body, call.maxBytes ?? standardMaxBytes)
    if (!bytes) throw unreachable(call.destination, 'its answer is too large')
    const parsed = parsedObject(bytes)
    if (parsed) return { status: response.status, ...parsed }
    if (response.ok) throw unreachable(call.destination, 'its answer is no JSON object')
    return { status: response.status, body: {}, faults: [] }
  })
}

/**
 * Sends a request and hands over the answer as soon as it begins, for bodies that are read as a stream; who reads it
 * sets its limits. 502 M_CONNECTION_FAILED, 504 M_CONNECTION_TIMEOUT.
 */
export async function federationFetch(env: Env, call: FederationCall): Promise<Response> {
  const request = await prepared(env, call)
  return await withTimeout(call, (signal) => transportOf(env)({ ...request, signal }))
}

function transportOf({ FEDERATION_TRANSPORT: launcher }: Env): Transport {
  return launcher ? launcherTransport(launcher) : cloudflareTransport
}

async function prepared(env: Env, call: FederationCall): Promise<Omit<OutboundRequest, 'signal'>> {
  const { destination, method, content, signed = true } = call
  if (destination === config(env).serverName) throw unreachable(destination, 'it is this server itself')
  const uri = checkedUri(call.path)
  const body = content === undefined ? undefined : canonicalJson(content, { strict: false })
  const signature = signed
    ? { Authorization: authorizationHeader(await ownSigner(env), { method, uri, destination }, body) }
    : {}
  const userAgent = { 'User-Agent': `${implementation.name}/${implementation.version}` }
  if (body === undefined) return { destination, method, uri, headers: { ...userAgent, ...signature } }
  const headers = { ...userAgent, ...signature, 'Content-Type': 'application/json' }
  return { destination, method, uri, headers, body }
}

/** The path as a URL parser on the way would have it, since that is what must be signed. */
function checkedUri(path: string): string {
  const { pathname, search } = new URL(path, 'https://server.invalid')
  // An identifier like `..` would lead elsewhere.
  if (!pathname.startsWith('/_matrix/') || segments(pathname) !== segments(path.split('?', 1)[0] ?? '')) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'An identifier cannot be part of a path')
  }
  return pathname + search
}

function segments(path: string): number {
  return path.split('/').length
}

async function withTimeout<T>(
  { destination, timeoutMs }: FederationCall,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(), timeoutMs)
  try {
    return await run(controller.signal)
  } catch (error) {
    if (controller.signal.aborted) {
      throw new MatrixError('M_CONNECTION_TIMEOUT', 504, `${destination} did not answer in time`)
    }
    if (isMatrixError(error)) throw error
    throw unreachable(destination, error instanceof Error ? error.message : 'the connection failed')
  } finally {
    clearTimeout(timer)
  }
}

function parsedObject(bytes: Uint8Array): { body: JsonObject; faults: readonly JsonFault[] } | undefined {
  try {
    const { value, faults } = parseJson(
      new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes),
    )
    // Events that lie in lists are judged one by one.
    const tooDeep = faults.some(({ kind, path: [, index] }) => kind === 'depth' && typeof index !== 'number')
    return isJsonObject(value) && !tooDeep ? { body: value, faults } : undefined
  } catch {
    return undefined
  }
}
