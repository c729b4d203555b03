// Requests to identity servers. Clients say which: none is trusted with more than its client wants it to know, and none
// leads this server into its own network. Specification: identity service API, "API standards", "Authentication".

import type { Env } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import { unreachable } from '../federation/client/transport.ts'
import { type WebCall, webCall } from '../federation/client/web-request.ts'
import { boundedBody } from '../http/bounded-body.ts'
import type { ServerName } from '../matrix/event.ts'
import { parseServerName } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import { identityRefusal } from './identity-refusal.ts'

/** An identity server and the token that it knows the client by. */
export interface IdentityServer {
  readonly name: ServerName
  readonly accessToken: string
}

export interface IdentityCall {
  readonly server: ServerName
  /** From `/_matrix/identity/` on. */
  readonly path: string
  /** JSON text to post; without it the request is a GET. */
  readonly body?: string
  readonly authorization: string
}

export interface IdentityAnswer {
  readonly status: number
  /** Undefined where the answer is no JSON object. */
  readonly body: JsonObject | undefined
}

const timeoutMs = 10_000
const maxAnswerBytes = 64 * 1024

/** The server that `id_server` names, by its host and port alone. M_INVALID_PARAM. */
export function identityServerName(idServer: string): ServerName {
  const name = parseServerName(idServer.toLowerCase())
  if (name !== undefined) return name
  throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid field id_server: not the host and port of a server')
}

/** Asks for something in the name of a client. Answers the body. As `identityRequest`, and what the server refuses. */
export async function askIdentityServer(
  env: Env,
  { name, accessToken }: IdentityServer,
  path: string,
  content?: JsonObject,
): Promise<JsonObject> {
  const answer = await identityRequest(env, {
    server: name,
    path,
    authorization: `Bearer ${accessToken}`,
    ...(content === undefined ? {} : { body: JSON.stringify(content) }),
  })
  if (answer.status !== 200) throw identityRefusal(name, answer)
  if (!answer.body) throw unreachable(name, 'its answer is no JSON object')
  return answer.body
}

/** What an identity server says about a key at a URL of its choice. 502 and 504 as `identityRequest`. */
export async function publicKeyDocument(env: Env, url: URL): Promise<JsonObject> {
  const { status, body } = await request(env, url.host, url.href, {})
  if (status === 200 && body) return body
  throw unreachable(url.host, `it answered a question about a key with status ${status}`)
}

/**
 * Sends a request and reads the answer, whatever its status. 502 M_CONNECTION_FAILED where the server cannot be reached, leads
 * elsewhere than to public addresses, or says too much; 504 M_CONNECTION_TIMEOUT.
 */
export async function identityRequest(env: Env, call: IdentityCall): Promise<IdentityAnswer> {
  const { server, path, ...sent } = call
  return await request(env, server, `https://${server}${path}`, sent)
}

async function request(env: Env, server: string, url: string, sent: WebCall): Promise<IdentityAnswer> {
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const response = await webCall(env, url, sent, signal)
    const bytes = await boundedBody(response.body, maxAnswerBytes)
    if (!bytes) throw unreachable(server, 'its answer is too large')
    return { status: response.status, body: parsed(bytes) }
  } catch (error) {
    if (signal.aborted) {
      throw new MatrixError('M_CONNECTION_TIMEOUT', 504, `${server} did not answer in time`)
    }
    if (isMatrixError(error)) throw error
    throw unreachable(server, error instanceof Error ? error.message : 'the connection failed')
  }
}

function parsed(bytes: Uint8Array): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(
      new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes),
    )
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
