// Settings of the media repository, from the Worker's variables.

import type { Env } from '../env.ts'

/** The largest file that thumbnails are made of: it has to fit into memory together with the image. */
export const largestImageBytes = 32 * 1024 * 1024

export interface MediaConfig {
  /** The largest upload, and the largest media of other servers that is fetched, in bytes. */
  readonly maxUploadBytes: number
  /** How many bytes of media of other servers are kept. */
  readonly remoteCacheBytes: number
  /** The largest image that thumbnails are made of, in pixels: decoded, each takes about 8 bytes of memory. */
  readonly maxThumbnailPixels: number
  /** Whether the deprecated endpoints without authentication serve media. */
  readonly unauthenticated: boolean
}

/** The checked settings. Throws an Error naming the variable that makes no sense. */
export function mediaConfig(env: Env): MediaConfig {
  return {
    maxUploadBytes: positiveInteger('MAX_UPLOAD_SIZE', env.MAX_UPLOAD_SIZE),
    remoteCacheBytes: positiveInteger('REMOTE_MEDIA_CACHE_SIZE', env.REMOTE_MEDIA_CACHE_SIZE),
    maxThumbnailPixels: positiveInteger('MAX_THUMBNAIL_PIXELS', env.MAX_THUMBNAIL_PIXELS),
    // Anything but a clear yes keeps media behind authentication.
    unauthenticated: env.UNAUTHENTICATED_MEDIA === 'on',
  }
}

function positiveInteger(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${name} is not a positive number: ${text}`)
  return value
}
