// Images of previews. Clients get them from here, so that the page's server does not see who reads what. They belong to nobody,
// and are kept as media of other servers is: they go when nobody asks for them any more.

import { randomBytes } from 'node:crypto'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { bodyChunks } from '../federation/client/body-chunks.ts'
import type { StoredContent } from '../storage/media.ts'
import {
  addRemoteMedia,
  findRemoteMedia,
  type RemoteMediaKey,
  touchRemoteMedia,
} from '../storage/remote-media.ts'
import { imageInfoBytes, type ImageInfo, readImageInfo } from './image-info.ts'
import { largestImageBytes, mediaConfig } from './media-config.ts'
import { trimRemoteMedia } from './remote-cache.ts'
import { storeParts } from './store-parts.ts'

/** What clients are told of an image. Specification: client-server API, GET /preview_url. */
export interface ImageProperties {
  readonly 'og:image': string
  readonly 'og:image:type': string
  readonly 'og:image:width': number
  readonly 'og:image:height': number
  /** In bytes. */
  readonly 'matrix:image:size': number
}

const dayMs = 24 * 60 * 60_000
// Ids of uploads are shorter.
const previewId = /^preview-[\w-]{24}$/

/** Whether an answer claims to be an image of a kind that can be shown. SVG is none: it can hold script. */
export function isImageType(contentType: string): boolean {
  return /^image\/(?!svg)/i.test(contentType)
}

/**
 * Stores the image of an answer. Undefined when it is none after all, or so large that it would have no thumbnail. Rejects when
 * it does not come in by `deadline`, in milliseconds.
 */
export async function storePreviewImage(
  env: Env,
  { headers, body }: Response,
  deadline: number,
): Promise<ImageProperties | undefined> {
  const { maxUploadBytes, maxThumbnailPixels } = mediaConfig(env)
  const limit = Math.min(maxUploadBytes, largestImageBytes)
  const chunks = bodyChunks(body, 'the image', deadline)
  try {
    if (Number(headers.get('Content-Length') ?? 0) > limit) return undefined
    const start = await firstBytes(chunks)
    const info = readImageInfo(start)
    // A small file can claim to be a huge image: whoever shows it would need the memory.
    if (!info || info.width * info.height > maxThumbnailPixels) return undefined
    return await store(env, info, withStart(start, chunks), limit)
  } finally {
    await chunks.return(undefined)
  }
}

/** The content of an image of a preview, by its media id; undefined for ids of other media. */
export async function previewImageContent(env: Env, mediaId: string): Promise<StoredContent | undefined> {
  if (!previewId.test(mediaId)) return undefined
  const key = keyOf(env, mediaId)
  const media = await findRemoteMedia(env, key)
  if (!media) return undefined
  const { object, contentType, filename, size, usedAt } = media
  const now = Date.now()
  if (usedAt < now - dayMs) await touchRemoteMedia(env, key, now)
  return object === null ? undefined : { object, contentType, filename, size }
}

async function store(
  env: Env,
  { format, width, height }: ImageInfo,
  chunks: AsyncGenerator<Uint8Array, undefined>,
  limit: number,
): Promise<ImageProperties> {
  const object = `remote/${randomBytes(18).toString('base64url')}`
  const refuse = () => Promise.resolve(new MatrixError('M_TOO_LARGE', 502, 'The image is too large'))
  const size = await storeParts(env.MEDIA, object, chunks, { limit, refuse })
  const mediaId = `preview-${randomBytes(18).toString('base64url')}`
  const contentType = `image/${format}`
  await addRemoteMedia(env, keyOf(env, mediaId), { object, size, contentType, filename: null }, Date.now())
  await trimRemoteMedia(env, size)
  return {
    'og:image': `mxc://${config(env).serverName}/${mediaId}`,
    'og:image:type': contentType,
    'og:image:width': width,
    'og:image:height': height,
    'matrix:image:size': size,
  }
}

function keyOf(env: Env, mediaId: string): RemoteMediaKey {
  return { serverName: config(env).serverName, mediaId, variant: '' }
}

async function firstBytes(chunks: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  const read: Uint8Array[] = []
  let length = 0
  while (length < imageInfoBytes) {
    const next = await chunks.next()
    if (next.done) break
    read.push(next.value)
    length += next.value.byteLength
  }
  return Buffer.concat(read)
}

async function* withStart(
  start: Uint8Array,
  rest: AsyncGenerator<Uint8Array, undefined>,
): AsyncGenerator<Uint8Array, undefined> {
  yield start
  yield* rest
}
