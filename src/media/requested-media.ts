// The media that a request names: found here or on its server, waited for while it has no content, or refused.

import * as v from 'valibot'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import { clientAddress, isLimited } from '../http/rate-limit.ts'
import type { ServerName } from '../matrix/event.ts'
import { parseMxcUri } from '../matrix/identifiers.ts'
import { findMedia, type Media, type StoredContent } from '../storage/media.ts'
import { forgetRemoteMedia } from '../storage/remote-media.ts'
import { mediaConfig } from './media-config.ts'
import { previewImageContent } from './preview-image.ts'
import { remoteMedia } from './remote-media.ts'

export interface MediaWithContent extends StoredContent {
  readonly mediaId: string
  /** The server that it is of, where that is not this one. */
  readonly serverName?: ServerName
}

/** A thumbnail that the other server is to make. */
export interface RemoteThumbnail {
  readonly variant: string
  readonly query: Readonly<Record<string, string>>
}

export interface MediaAsked {
  readonly serverName: ServerName
  readonly mediaId: string
  /** How long to wait for content that is not uploaded yet, in milliseconds. */
  readonly timeoutMs: number
  /** Who asks, for rate limits; undefined where there are none. */
  readonly asker: string | undefined
}

type Serve = (media: MediaWithContent) => Promise<Response>

const standardWait = 20_000
const longestWait = 60_000
const longestStep = 2000

/** The query parameter `timeout_ms`, in a form that schemas of query strings can take in. */
export const timeoutParam = v.optional(
  v.pipe(v.string(), v.regex(/^\d{1,9}$/, 'must be a number of milliseconds'), v.transform(Number)),
)

/** The query parameter `allow_remote` of the deprecated endpoints. */
export const allowRemoteParam = v.optional(v.picklist(['true', 'false']), 'true')

/** What the path asks for, by a user who is signed in. M_NOT_FOUND for ids that cannot be. */
export function askedMedia(c: AppContext, timeout = standardWait): MediaAsked {
  const { session } = c.var
  const asker = isLimited(session) ? session.userId : undefined
  return { ...mediaOfPath(c), timeoutMs: Math.min(timeout, longestWait), asker }
}

/**
 * What the path of one of the deprecated endpoints asks for. They serve media to anyone who knows its id, and so only where
 * the operator wants that. They never wait. M_NOT_FOUND, 504 M_NOT_YET_UPLOADED.
 */
export async function askedWithoutSession(c: AppContext, allowRemote: 'true' | 'false'): Promise<MediaAsked> {
  const asked = { ...mediaOfPath(c), timeoutMs: 0, asker: clientAddress(c) ?? 'local' }
  const isOwn = asked.serverName === config(c.env).serverName
  if (isOwn) await ownMedia(c.env, asked.mediaId, 0)
  if (!mediaConfig(c.env).unauthenticated && !isProviderIcon(c.env, asked)) throw notFound()
  // Servers that ask one another in a circle say that they want no third one asked.
  if (!isOwn && allowRemote === 'false') throw notFound()
  return asked
}

// Clients show the icons of identity providers to people who have no access token yet.
function isProviderIcon(env: Env, { serverName, mediaId }: MediaAsked): boolean {
  const uri = `mxc://${serverName}/${mediaId}`
  return config(env).sso?.providers.some(({ icon }) => icon === uri) === true
}

/**
 * Answers with media. M_NOT_FOUND, or 504 M_NOT_YET_UPLOADED when no content arrives in time; for other servers' also 502
 * M_TOO_LARGE, and 502 and 504 where they cannot be asked.
 */
export async function serveMedia(
  c: AppContext,
  asked: MediaAsked,
  serve: Serve,
  thumbnail?: RemoteThumbnail,
): Promise<Response> {
  const { serverName, mediaId, timeoutMs, asker } = asked
  if (serverName === config(c.env).serverName) return await serve(await ownMedia(c.env, mediaId, timeoutMs))
  const key = { serverName, mediaId, variant: thumbnail?.variant ?? '' }
  const request = { key, timeoutMs, asker, ...(thumbnail && { thumbnail: thumbnail.query }) }
  const media = await remoteMedia(c, request)
  try {
    return await serve(media)
  } catch (error) {
    if (!isMatrixError(error) || error.errcode !== 'M_NOT_FOUND') throw error
    // Its content has gone from R2, so it is fetched again.
    await forgetRemoteMedia(c.env, [media])
    return await serve(await remoteMedia(c, request))
  }
}

/** Media of this server. M_NOT_FOUND, or 504 M_NOT_YET_UPLOADED when no content arrives in `timeout` milliseconds. */
export async function ownMedia(env: Env, mediaId: string, timeout = standardWait): Promise<MediaWithContent> {
  const image = await previewImageContent(env, mediaId)
  if (image) return { mediaId, ...image }
  const deadline = Date.now() + Math.min(timeout, longestWait)
  for (let step = 250; ; step = Math.min(step * 2, longestStep)) {
    const media = await localMedia(env, mediaId)
    const content = contentOf(media)
    if (content) return content
    const rest = deadline - Date.now()
    if (rest <= 0) throw notYetUploaded()
    await new Promise((resolve) => setTimeout(resolve, Math.min(step, rest)))
  }
}

function mediaOfPath(c: AppContext): { serverName: ServerName; mediaId: string } {
  // Nothing else may get into the path of a request to another server, or be looked for here.
  const mxc = parseMxcUri(`mxc://${c.req.param('serverName')}/${c.req.param('mediaId')}`)
  if (!mxc) throw notFound()
  return mxc
}

async function localMedia(env: Env, mediaId: string): Promise<Media> {
  const media = await findMedia(env, mediaId)
  if (!media || (media.object === null && (media.expiresAt ?? 0) <= Date.now())) throw notFound()
  return media
}

function contentOf({ mediaId, object, contentType, size, filename }: Media): MediaWithContent | undefined {
  if (object === null || contentType === null || size === null) return undefined
  return { mediaId, object, contentType, size, filename }
}

function notFound(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 404, 'Media not found')
}

function notYetUploaded(): MatrixError {
  return new MatrixError('M_NOT_YET_UPLOADED', 504, 'Media has not been uploaded yet')
}
