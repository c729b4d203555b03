// Media of other servers: asked for by the authenticated endpoints, by the deprecated ones where a server has no others, or
// from where a server says that it lies. Server-server API, "Content Repository".

import type { Env } from '../../env.ts'
import { isMatrixError, MatrixError } from '../../errors.ts'
import { boundedBody } from '../../http/bounded-body.ts'
import type { ServerName } from '../../matrix/event.ts'
import { isJsonObject, type JsonObject, stringProperty } from '../../matrix/json.ts'
import { malformed } from '../remote-join/own-member.ts'
import { isUnknownEndpoint, refusal } from '../remote-join/servers.ts'
import { backOff } from './back-off.ts'
import { bodyChunks } from './body-chunks.ts'
import { boundaryOf, secondPart } from './multipart.ts'
import { federationFetch, type FederationCall } from './request.ts'
import { unreachable } from './transport.ts'
import { redirectTarget, webRequest } from './web-request.ts'

export interface MediaRequest {
  readonly server: ServerName
  readonly mediaId: string
  /** Query parameters of a thumbnail, where one is wanted. */
  readonly thumbnail?: Readonly<Record<string, string>>
  /** How long the other server may wait for content that is not uploaded yet, in milliseconds. */
  readonly timeoutMs: number
  /** More than that is refused where the size is known in advance; otherwise whoever reads it has to count. */
  readonly maxBytes: number
}

/** Media that has begun to come in. */
export interface IncomingMedia {
  readonly contentType: string | undefined
  /** Content-Disposition. */
  readonly disposition: string | undefined
  /**
   * Throws 502 M_CONNECTION_FAILED when it breaks off, 504 M_CONNECTION_TIMEOUT. It must be
   * read: to the end, or until `return`.
   */
  readonly chunks: AsyncGenerator<Uint8Array, undefined>
}

// For the connection and the server's own work.
const answerMs = 15_000
/** How long media may take to come in, in milliseconds. */
export const longestTransferMs = 5 * 60_000
const maxErrorBytes = 64 * 1024
// What may be around the content in an answer of two parts.
const partsBytes = 64 * 1024
// A screen full of avatars must not ask a server that is down a hundred times.
const servers = backOff({ afterSuccess: 0, afterFailure: 5000, longest: 60_000 })

/**
 * Asks a server for its media. M_NOT_FOUND, 504 M_NOT_YET_UPLOADED, 502 M_TOO_LARGE as that server says; M_FORBIDDEN, 502
 * and 504 where it cannot be asked.
 */
export async function fetchMedia(env: Env, request: MediaRequest): Promise<IncomingMedia> {
  const { server } = request
  const response = await ask(env, call(request))
  if (response.ok) return await fromParts(env, request, response)
  const error = await readError(response)
  // Only a server that does not know the endpoint is asked by the old one.
  if (!isUnknown(error)) throw failure(server, error)
  const old = await ask(env, deprecatedCall(request))
  if (old.ok) return await incoming(request, old)
  const location = redirectTarget(old)
  if (location !== undefined) return await fromLocation(env, request, location)
  throw failure(server, await readError(old))
}

function call({ server, mediaId, thumbnail, timeoutMs }: MediaRequest): FederationCall {
  const query = new URLSearchParams({ ...thumbnail, timeout_ms: String(timeoutMs) }).toString()
  const endpoint = `/_matrix/federation/v1/media/${thumbnail ? 'thumbnail' : 'download'}`
  const path = `${endpoint}/${encodeURIComponent(mediaId)}?${query}`
  return { destination: server, method: 'GET', path, timeoutMs: timeoutMs + answerMs }
}

function deprecatedCall({ server, mediaId, thumbnail, timeoutMs }: MediaRequest): FederationCall {
  // Since v1.11 it must be told not to ask a third one.
  const query = new URLSearchParams({ ...thumbnail, allow_remote: 'false', timeout_ms: String(timeoutMs) })
  const endpoint = `/_matrix/media/v3/${thumbnail ? 'thumbnail' : 'download'}`
  const path = `${endpoint}/${encodeURIComponent(server)}/${encodeURIComponent(mediaId)}?${query.toString()}`
  return { destination: server, method: 'GET', path, timeoutMs: timeoutMs + answerMs, signed: false }
}

async function ask(env: Env, request: FederationCall): Promise<Response> {
  const { destination } = request
  if (!servers.allows(destination)) throw unreachable(destination, 'it did not answer a moment ago')
  try {
    const response = await federationFetch(env, request)
    servers.succeeded(destination)
    return response
  } catch (error) {
    servers.failed(destination)
    throw error
  }
}

async function fromParts(env: Env, request: MediaRequest, response: Response): Promise<IncomingMedia> {
  const { server, maxBytes } = request
  await refuseLarger(response, maxBytes + partsBytes)
  const boundary = boundaryOf(response.headers.get('Content-Type'))
  if (boundary === undefined) {
    await response.body?.cancel()
    throw malformed(server, 'it is not multipart/mixed with a boundary')
  }
  const chunks = bodyChunks(response.body, server, Date.now() + longestTransferMs)
  const part = await told(server, secondPart(chunks, boundary))
  const location = part.headers.get('location')
  if (location === undefined) {
    return {
      contentType: part.headers.get('content-type'),
      disposition: part.headers.get('content-disposition'),
      chunks: toldChunks(server, part.content),
    }
  }
  await chunks.return(undefined)
  return await fromLocation(env, request, location)
}

// Asked for without authentication: the signature is for the server alone.
async function fromLocation(env: Env, request: MediaRequest, location: string): Promise<IncomingMedia> {
  const { server } = request
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(), answerMs)
  const response = await told(server, webRequest(env, location, controller.signal))
  clearTimeout(timer)
  if (response.status === 200) return await incoming(request, response)
  await response.body?.cancel()
  throw new MatrixError('M_UNKNOWN', 502, `${server} leads to a place that answers ${response.status}`)
}

async function incoming({ server, maxBytes }: MediaRequest, response: Response): Promise<IncomingMedia> {
  await refuseLarger(response, maxBytes)
  const { headers, body } = response
  return {
    contentType: headers.get('Content-Type') ?? undefined,
    disposition: headers.get('Content-Disposition') ?? undefined,
    chunks: toldChunks(server, bodyChunks(body, server, Date.now() + longestTransferMs)),
  }
}

async function refuseLarger({ headers, body }: Response, maxBytes: number): Promise<void> {
  if (Number(headers.get('Content-Length') ?? 0) <= maxBytes) return
  await body?.cancel()
  throw remoteTooLarge()
}

/** 502 M_TOO_LARGE. */
export function remoteTooLarge(): MatrixError {
  return new MatrixError('M_TOO_LARGE', 502, 'The media of the other server is too large')
}

/** Makes what goes wrong on the way an error that clients can be told. */
async function told<T>(server: ServerName, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    throw asFailure(server, error)
  }
}

async function* toldChunks(
  server: ServerName,
  chunks: AsyncGenerator<Uint8Array, undefined>,
): AsyncGenerator<Uint8Array, undefined> {
  try {
    yield* chunks
  } catch (error) {
    throw asFailure(server, error)
  }
}

function asFailure(server: ServerName, error: unknown): MatrixError {
  if (isMatrixError(error)) return error
  return unreachable(server, error instanceof Error ? error.message : 'the connection failed')
}

interface ErrorAnswer {
  readonly status: number
  readonly body: JsonObject
}

async function readError({ status, body }: Response): Promise<ErrorAnswer> {
  const bytes = await boundedBody(body, maxErrorBytes).catch(() => undefined)
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return { status, body: isJsonObject(value) ? value : {} }
  } catch {
    return { status, body: {} }
  }
}

// Where a request is refused without an errcode, no server of Matrix has looked at it.
function isUnknown(error: ErrorAnswer): boolean {
  return (
    isUnknownEndpoint(error) || (error.status === 400 && stringProperty(error.body, 'errcode') === undefined)
  )
}

function failure(server: ServerName, error: ErrorAnswer): MatrixError {
  const errcode = stringProperty(error.body, 'errcode')
  if (errcode === 'M_NOT_YET_UPLOADED') {
    return new MatrixError('M_NOT_YET_UPLOADED', 504, 'Media has not been uploaded yet')
  }
  if (errcode === 'M_TOO_LARGE') return remoteTooLarge()
  return refusal(server, error)
}
