// Media of other servers: asked for when first wanted, kept in R2, told apart in D1. Only what came in whole is ever served.
// Specification: server-server API, "Content Repository".

import { randomBytes } from 'node:crypto'
import type { Env } from '../env.ts'
import { type Errcode, isMatrixError, MatrixError } from '../errors.ts'
import { fetchMedia, longestTransferMs, remoteTooLarge } from '../federation/client/media.ts'
import { sharedWork } from '../federation/client/shared-work.ts'
import type { AppContext } from '../http/app-type.ts'
import { rateLimit } from '../http/rate-limit.ts'
import { errorMessage, log } from '../log.ts'
import {
  addRemoteMedia,
  findRemoteMedia,
  type KeptRemoteMedia,
  noteTooLarge,
  type RemoteMediaKey,
  touchRemoteMedia,
} from '../storage/remote-media.ts'
import { dispositionFilename } from './content-disposition.ts'
import { storedContentType } from './content-type.ts'
import { mediaConfig } from './media-config.ts'
import { trimRemoteMedia } from './remote-cache.ts'
import { storeParts } from './store-parts.ts'

export interface RemoteRequest {
  readonly key: RemoteMediaKey
  /** Query parameters of the thumbnail that `key.variant` names. */
  readonly thumbnail?: Readonly<Record<string, string>>
  /** How long the other server may wait for content that is not uploaded yet, in milliseconds. */
  readonly timeoutMs: number
  /** Who asks, for the rate limit; undefined where there is none. */
  readonly asker: string | undefined
}

const dayMs = 24 * 60 * 60_000
const failureMs = 60_000
const failuresKept = 2000
// What may be otherwise any moment; of servers that are down `fetchMedia` keeps count.
const passing: readonly Errcode[] = ['M_NOT_YET_UPLOADED', 'M_CONNECTION_FAILED', 'M_CONNECTION_TIMEOUT']
const transfers = sharedWork(longestTransferMs + 60_000)
// What went wrong last, by media, for all who wait for it and those who ask again at once.
const failures = new Map<string, { readonly error: MatrixError; readonly until: number }>()

/** Media of another server, from here or from there. The errors of `fetchMedia`, 502 M_TOO_LARGE, M_LIMIT_EXCEEDED. */
export async function remoteMedia(c: AppContext, request: RemoteRequest): Promise<KeptRemoteMedia> {
  const { env } = c
  const { key } = request
  const known = await kept(env, key)
  if (known) {
    // A row for each use would cost more than the storage.
    const now = Date.now()
    if (known.usedAt < now - dayMs) c.executionCtx.waitUntil(touchRemoteMedia(env, key, now))
    return known
  }
  const name = nameOf(key)
  const failed = failures.get(name)
  if (failed && failed.until > Date.now()) throw failed.error
  if (request.asker !== undefined) await rateLimit(env, env.SEND_LIMIT, `remote-media:${request.asker}`)
  await (transfers.running(name) ?? transfers.start([name], transfer(env, request)))
  const media = await kept(env, key)
  if (!media) throw failures.get(name)?.error ?? interrupted(key)
  c.executionCtx.waitUntil(trimRemoteMedia(env, media.size))
  return media
}

async function kept(env: Env, key: RemoteMediaKey): Promise<KeptRemoteMedia | undefined> {
  const media = await findRemoteMedia(env, key)
  if (!media) return undefined
  const { object } = media
  if (object !== null) return { ...media, object }
  // Its server may have put something smaller there, and the limit may have been raised.
  const isCurrent = media.usedAt > Date.now() - dayMs && media.size >= mediaConfig(env).maxUploadBytes
  if (isCurrent) throw remoteTooLarge()
  return undefined
}

// Never rejects: nobody may be waiting any more.
async function transfer(env: Env, request: RemoteRequest): Promise<void> {
  const name = nameOf(request.key)
  try {
    await bringHere(env, request)
    failures.delete(name)
  } catch (error) {
    const told = isMatrixError(error) ? error : new MatrixError('M_UNKNOWN', 500, 'Internal server error')
    logFailure(request.key, error)
    noteFailure(name, told)
    if (told.errcode === 'M_TOO_LARGE') {
      const noted = noteTooLarge(env, request.key, mediaConfig(env).maxUploadBytes, Date.now())
      await noted.catch((again: unknown) => logFailure(request.key, again))
    }
  }
}

async function bringHere(env: Env, { key, thumbnail, timeoutMs }: RemoteRequest): Promise<void> {
  const { serverName: server, mediaId } = key
  const limit = mediaConfig(env).maxUploadBytes
  const ask = { server, mediaId, timeoutMs, maxBytes: limit, ...(thumbnail && { thumbnail }) }
  const { contentType, disposition, chunks } = await fetchMedia(env, ask)
  const object = `remote/${randomBytes(18).toString('base64url')}`
  const size = await storeParts(env.MEDIA, object, chunks, {
    limit,
    refuse: async () => {
      await chunks.return(undefined)
      return remoteTooLarge()
    },
  })
  // Only now that all of it is in R2 there is a row that leads to it.
  const content = {
    object,
    size,
    contentType: storedContentType(contentType),
    filename: dispositionFilename(disposition),
  }
  if (!(await addRemoteMedia(env, key, content, Date.now()))) await env.MEDIA.delete(object)
}

function logFailure({ serverName, mediaId }: RemoteMediaKey, error: unknown): void {
  log({ event: 'remote_media_failed', server: serverName, media_id: mediaId, error: errorMessage(error) })
}

function noteFailure(name: string, error: MatrixError): void {
  failures.delete(name)
  const oldest = failures.size >= failuresKept ? failures.keys().next().value : undefined
  if (oldest !== undefined) failures.delete(oldest)
  const keepMs = error.status === 500 || passing.includes(error.errcode) ? 0 : failureMs
  failures.set(name, { error, until: Date.now() + keepMs })
}

function nameOf({ serverName, mediaId, variant }: RemoteMediaKey): string {
  return `${serverName}/${mediaId}/${variant}`
}

function interrupted({ serverName }: RemoteMediaKey): MatrixError {
  return new MatrixError('M_CONNECTION_TIMEOUT', 504, `The media of ${serverName} took too long to come in`)
}
