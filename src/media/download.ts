// Downloads. Specification: client-server API, "Content repository", MSC3916.

import * as v from 'valibot'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import {
  requestedMedia,
  timeoutParam,
  unauthenticatedMedia,
  type MediaWithContent,
} from './requested-media.ts'
import { serveContent } from './serve-content.ts'

/** The query string of a download. */
export const downloadQuery = v.object({ timeout_ms: timeoutParam })

/** GET /download/{serverName}/{mediaId} and the same with a file name, with authentication and the old ones without. */
export function downloadRoutes(app: App): void {
  const signedIn = requireSession({ guests: true })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaid
  app.get('/_matrix/client/v1/media/download/:serverName/:mediaId', signedIn, (c) => download(c))

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaidfilename
  app.get('/_matrix/client/v1/media/download/:serverName/:mediaId/:fileName', signedIn, (c) => download(c))

  // Deprecated. https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3downloadservernamemediaid
  app.get('/_matrix/media/v3/download/:serverName/:mediaId', async (c) =>
    serve(c, await unauthenticatedMedia(c)),
  )

  // Deprecated. https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3downloadservernamemediaidfilename
  app.get('/_matrix/media/v3/download/:serverName/:mediaId/:fileName', async (c) =>
    serve(c, await unauthenticatedMedia(c)),
  )
}

async function download(c: AppContext): Promise<Response> {
  return await serve(c, await requestedMedia(c, queryParams(c, downloadQuery).timeout_ms))
}

async function serve(c: AppContext, media: MediaWithContent): Promise<Response> {
  const filename = c.req.param('fileName') ?? media.filename
  return await serveContent(c.env.MEDIA, c.req.raw, { ...media, filename })
}
