// Uploads, at once or to an id created before. Specification: client-server API, "Content repository".

import { randomBytes } from 'node:crypto'
import { config } from '../config.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { limitExceeded, rateLimitUser } from '../http/rate-limit.ts'
import { refuseSuspended, requireSession } from '../http/session.ts'
import {
  addMedia,
  addPendingMedia,
  fillPendingMedia,
  findMedia,
  type StoredContent,
} from '../storage/media.ts'
import { storedContentType } from './content-type.ts'
import { mediaConfig } from './media-config.ts'
import { storeBody } from './store-body.ts'

const pendingLifetime = 24 * 60 * 60 * 1000
const maxPendingPerUser = 20
const longestFilename = 1024

/** POST /upload, PUT /upload/{serverName}/{mediaId}, POST /create. */
export function uploadRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav3upload
  app.post('/_matrix/media/v3/upload', requireSession(), async (c) => {
    await allowUpload(c)
    const mediaId = newMediaId()
    const id = { mediaId, userId: c.var.session.userId, createdAt: Date.now() }
    await addMedia(c.env, id, await storeUpload(c))
    return c.json({ content_uri: mxcUri(c, mediaId) })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixmediav3uploadservernamemediaid
  app.put('/_matrix/media/v3/upload/:serverName/:mediaId', requireSession(), async (c) => {
    await allowUpload(c)
    const mediaId = c.req.param('mediaId')
    await checkPending(c, mediaId)
    const content = await storeUpload(c)
    if (!(await fillPendingMedia(c.env, mediaId, content))) {
      await c.env.MEDIA.delete(content.object)
      throw cannotOverwrite()
    }
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav1create
  app.post('/_matrix/media/v1/create', requireSession(), async (c) => {
    await allowUpload(c)
    const mediaId = newMediaId()
    const createdAt = Date.now()
    const expiresAt = createdAt + pendingLifetime
    const id = { mediaId, userId: c.var.session.userId, createdAt, expiresAt }
    if (!(await addPendingMedia(c.env, id, maxPendingPerUser))) throw limitExceeded(60_000)
    return c.json({ content_uri: mxcUri(c, mediaId), unused_expires_at: expiresAt })
  })
}

async function allowUpload(c: AppContext): Promise<void> {
  const { session } = c.var
  refuseSuspended(session)
  await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session, 'media:')
}

async function checkPending(c: AppContext, mediaId: string): Promise<void> {
  const own = c.req.param('serverName') === config(c.env).serverName
  const media = own ? await findMedia(c.env, mediaId) : undefined
  // An id that has expired is as unknown as one that was never created.
  if (!media || (media.object === null && (media.expiresAt ?? 0) <= Date.now())) {
    throw new MatrixError('M_NOT_FOUND', 404, 'Unknown media id')
  }
  if (media.userId !== c.var.session.userId) {
    throw new MatrixError('M_FORBIDDEN', 403, 'This media id was created by another user')
  }
  if (media.object !== null) throw cannotOverwrite()
}

function cannotOverwrite(): MatrixError {
  return new MatrixError('M_CANNOT_OVERWRITE_MEDIA', 409, 'This media id already has content')
}

async function storeUpload(c: AppContext): Promise<StoredContent> {
  const filename = c.req.query('filename') ?? ''
  if (filename.length > longestFilename) {
    throw new MatrixError('M_INVALID_PARAM', 400, `filename has at most ${longestFilename} characters`)
  }
  const contentType = storedContentType(c.req.header('Content-Type'))
  // A key of its own: two uploads to one id at the same time must not mix.
  const object = `media/${randomBytes(18).toString('base64url')}`
  const size = await storeBody(c.env.MEDIA, object, c.req.raw, mediaConfig(c.env).maxUploadBytes)
  return { object, contentType, filename: filename === '' ? null : filename.toWellFormed(), size }
}

// Not to be guessed: knowing the id is all it takes to get the content.
function newMediaId(): string {
  return randomBytes(18).toString('base64url')
}

function mxcUri(c: AppContext, mediaId: string): string {
  return `mxc://${config(c.env).serverName}/${mediaId}`
}
