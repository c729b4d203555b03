// Thumbnails of images, made when first asked for and kept in R2.
// Specification: client-server API, "Thumbnails" and "Content repository".

import * as v from 'valibot'
import { config } from '../config.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { errorMessage, log } from '../log.ts'
import { imageCodec, type Thumbnail } from './image-codec.ts'
import { imageInfoBytes, readImageInfo, type ImageInfo } from './image-info.ts'
import { largestImageBytes, mediaConfig } from './media-config.ts'
import {
  allowRemoteParam,
  askedMedia,
  askedWithoutSession,
  type MediaAsked,
  type MediaWithContent,
  type RemoteThumbnail,
  serveMedia,
  timeoutParam,
} from './requested-media.ts'
import { contentHeaders, serveContent } from './serve-content.ts'
import { isSmaller, offeredSize, type ThumbnailSize } from './thumbnail-size.ts'

const pixels = v.pipe(
  v.string(),
  v.regex(/^[1-9]\d{0,4}$/, 'must be a number of pixels'),
  v.transform(Number),
)
/** The query string of a request for a thumbnail. */
export const thumbnailQuery = v.object({
  width: pixels,
  height: pixels,
  method: v.optional(v.picklist(['crop', 'scale']), 'scale'),
  animated: v.optional(v.picklist(['true', 'false']), 'false'),
  timeout_ms: timeoutParam,
})
const deprecatedQuery = v.object({ ...thumbnailQuery.entries, allow_remote: allowRemoteParam })
type ThumbnailQuery = v.InferOutput<typeof thumbnailQuery>

/** GET /thumbnail/{serverName}/{mediaId}, with authentication and the old one without. */
export function thumbnailRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediathumbnailservernamemediaid
  const signedIn = requireSession({ guests: true })
  app.get('/_matrix/client/v1/media/thumbnail/:serverName/:mediaId', signedIn, (c) => askedThumbnail(c))
  app.get('/_matrix/client/unstable/org.matrix.msc3916/media/thumbnail/:serverName/:mediaId', signedIn, (c) =>
    askedThumbnail(c),
  )

  // Deprecated. https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3thumbnailservernamemediaid
  app.get('/_matrix/media/v3/thumbnail/:serverName/:mediaId', async (c) => {
    const query = queryParams(c, deprecatedQuery)
    return await requestedThumbnail(c, await askedWithoutSession(c, query.allow_remote), query)
  })
}

async function askedThumbnail(c: AppContext): Promise<Response> {
  const query = queryParams(c, thumbnailQuery)
  return await requestedThumbnail(c, askedMedia(c, query.timeout_ms), query)
}

async function requestedThumbnail(
  c: AppContext,
  asked: MediaAsked,
  query: ThumbnailQuery,
): Promise<Response> {
  const serve = (media: MediaWithContent) => thumbnail(c, media, query)
  try {
    return await serveMedia(c, asked, serve)
  } catch (error) {
    const isOwn = asked.serverName === config(c.env).serverName
    if (isOwn || !isMatrixError(error) || error.errcode !== 'M_TOO_LARGE') throw error
    // What is too large to be fetched, or to be decoded, may have a thumbnail there.
    return await serveMedia(c, asked, serve, remoteThumbnail(query))
  }
}

// Asked for in one of the few sizes, and made to fit here if need be.
function remoteThumbnail({ animated, ...wanted }: ThumbnailQuery): RemoteThumbnail {
  const size = offeredSize(wanted) ?? { method: 'scale' as const, width: 1600, height: 1200 }
  const { method, width, height } = size
  return {
    variant: thumbnailName(size, animated),
    query: { method, width: String(width), height: String(height), animated },
  }
}

/** A thumbnail of an image. M_UNKNOWN (400) for what is none, M_TOO_LARGE (413, 502 for images of other servers). */
export async function thumbnail(
  c: AppContext,
  media: MediaWithContent,
  query: ThumbnailQuery,
  request: Request = c.req.raw,
): Promise<Response> {
  const size = offeredSize(query)
  const key = `thumbnails/${media.object.replace('media/', '')}/${thumbnailName(size, query.animated)}`
  const kept = await c.env.MEDIA.get(key)
  if (kept) return answer(key, new Uint8Array(await kept.arrayBuffer()))

  const info = await imageInfo(c, media)
  // Small images are sent as they are, but without leave nothing may move.
  const mayMove = query.animated === 'true' || !info.animated
  if (mayMove && (!size || isSmaller(info, size))) {
    const contentType = `image/${info.format}` as const
    return await serveContent(c.env.MEDIA, request, { ...media, contentType, filename: name(contentType) })
  }
  const made = await makeThumbnail(
    c,
    media,
    info,
    size ?? { method: 'scale', width: info.width, height: info.height },
  )
  c.executionCtx.waitUntil(keep(c, key, made.bytes, media.mediaId))
  return answer(key, made.bytes)
}

function thumbnailName(size: ThumbnailSize | undefined, animated: string): string {
  const name = size ? `${size.method}-${size.width}x${size.height}` : 'whole'
  return animated === 'true' ? `${name}-animated` : name
}

async function imageInfo(c: AppContext, media: MediaWithContent): Promise<ImageInfo> {
  if (media.size === 0) throw notAnImage()
  const length = Math.min(imageInfoBytes, media.size)
  const start = await c.env.MEDIA.get(media.object, { range: { offset: 0, length } })
  if (!start) throw new MatrixError('M_NOT_FOUND', 404, 'Media not found')
  const info = readImageInfo(new Uint8Array(await start.arrayBuffer()))
  if (!info) throw notAnImage()
  return info
}

async function makeThumbnail(
  c: AppContext,
  media: MediaWithContent,
  info: ImageInfo,
  size: ThumbnailSize,
): Promise<Thumbnail> {
  const { maxThumbnailPixels } = mediaConfig(c.env)
  if (media.size > largestImageBytes || info.width * info.height > maxThumbnailPixels) {
    const status = media.serverName === undefined ? 413 : 502
    throw new MatrixError('M_TOO_LARGE', status, 'The image is too large to make a thumbnail of it')
  }
  const stored = await c.env.MEDIA.get(media.object)
  if (!stored) throw new MatrixError('M_NOT_FOUND', 404, 'Media not found')
  const bytes = new Uint8Array(await stored.arrayBuffer())
  const codec = await imageCodec()
  try {
    return await codec.thumbnail(bytes, info, size)
  } catch {
    // Whatever a decoder says of a file that a user made up, the user gets one answer.
    throw notAnImage()
  }
}

async function keep(c: AppContext, key: string, bytes: Uint8Array, mediaId: string): Promise<void> {
  try {
    await c.env.MEDIA.put(key, bytes)
  } catch (error) {
    log({ event: 'thumbnail_not_kept', media_id: mediaId, error: errorMessage(error) })
  }
}

function answer(key: string, bytes: Uint8Array): Response {
  const contentType = bytes[0] === 0xff ? 'image/jpeg' : 'image/png'
  const etag = `"${key.split('/').slice(1).join('-')}"`
  return new Response(bytes, { headers: contentHeaders({ contentType, filename: name(contentType) }, etag) })
}

function name(contentType: `image/${string}`): string {
  return `thumbnail.${contentType.slice('image/'.length).replace('jpeg', 'jpg')}`
}

function notAnImage(): MatrixError {
  return new MatrixError('M_UNKNOWN', 400, 'No thumbnail can be made of this content')
}
