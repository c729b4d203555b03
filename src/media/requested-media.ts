// The media that a request names: found, waited for while it has no content, or refused.

import * as v from 'valibot'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import { findMedia, type Media } from '../storage/media.ts'
import { mediaConfig } from './media-config.ts'

export type MediaWithContent = Media & { object: string; contentType: string; size: number }

const standardWait = 20_000
const longestWait = 60_000
const longestStep = 2000

/** The query parameter `timeout_ms`, in a form that schemas of query strings can take in. */
export const timeoutParam = v.optional(
  v.pipe(v.string(), v.regex(/^\d{1,9}$/, 'must be a number of milliseconds'), v.transform(Number)),
)

/** The media of the path. M_NOT_FOUND, or 504 M_NOT_YET_UPLOADED when no content arrives in `timeout` milliseconds. */
export async function requestedMedia(c: AppContext, timeout = standardWait): Promise<MediaWithContent> {
  // Media of other servers comes with federation.
  if (c.req.param('serverName') !== config(c.env).serverName) throw notFound()
  return await ownMedia(c.env, c.req.param('mediaId') ?? '', timeout)
}

/** Media of this server. M_NOT_FOUND, or 504 M_NOT_YET_UPLOADED when no content arrives in `timeout` milliseconds. */
export async function ownMedia(env: Env, mediaId: string, timeout = standardWait): Promise<MediaWithContent> {
  const deadline = Date.now() + Math.min(timeout, longestWait)
  for (let step = 250; ; step = Math.min(step * 2, longestStep)) {
    const media = await localMedia(env, mediaId)
    if (hasContent(media)) return media
    const rest = deadline - Date.now()
    if (rest <= 0) throw notYetUploaded()
    await new Promise((resolve) => setTimeout(resolve, Math.min(step, rest)))
  }
}

/**
 * The media of the path for the deprecated endpoints, which serve it to anyone who knows its id, and so only where the
 * operator wants that. They never wait.
 */
export async function unauthenticatedMedia(c: AppContext): Promise<MediaWithContent> {
  if (c.req.param('serverName') !== config(c.env).serverName) throw notFound()
  const media = await localMedia(c.env, c.req.param('mediaId') ?? '')
  if (!hasContent(media)) throw notYetUploaded()
  if (!mediaConfig(c.env).unauthenticated) throw notFound()
  return media
}

async function localMedia(env: Env, mediaId: string): Promise<Media> {
  const media = await findMedia(env, mediaId)
  if (!media || (media.object === null && (media.expiresAt ?? 0) <= Date.now())) throw notFound()
  return media
}

function hasContent(media: Media): media is MediaWithContent {
  return media.object !== null && media.contentType !== null && media.size !== null
}

function notFound(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 404, 'Media not found')
}

function notYetUploaded(): MatrixError {
  return new MatrixError('M_NOT_YET_UPLOADED', 504, 'Media has not been uploaded yet')
}
