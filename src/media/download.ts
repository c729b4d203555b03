// Downloads. Specification: client-server API, "Content repository", MSC3916.

import * as v from 'valibot'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import {
  allowRemoteParam,
  askedMedia,
  askedWithoutSession,
  type MediaAsked,
  serveMedia,
  timeoutParam,
} from './requested-media.ts'
import { serveContent } from './serve-content.ts'

/** The query string of a download. */
export const downloadQuery = v.object({ timeout_ms: timeoutParam })

// The rest of it is for servers that redirect, or wait.
const deprecatedQuery = v.object({ allow_remote: allowRemoteParam })

/** GET /download/{serverName}/{mediaId} and the same with a file name, with authentication and the old ones without. */
export function downloadRoutes(app: App): void {
  const signedIn = requireSession({ guests: true })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaid
  app.get('/_matrix/client/v1/media/download/:serverName/:mediaId', signedIn, (c) => download(c))

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaidfilename
  app.get('/_matrix/client/v1/media/download/:serverName/:mediaId/:fileName', signedIn, (c) => download(c))

  // As it was proposed, for clients of before v1.11.
  const unstable = '/_matrix/client/unstable/org.matrix.msc3916/media/download/:serverName/:mediaId'
  app.get(unstable, signedIn, (c) => download(c))
  app.get(`${unstable}/:fileName`, signedIn, (c) => download(c))

  // Deprecated. https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3downloadservernamemediaid
  app.get('/_matrix/media/v3/download/:serverName/:mediaId', (c) => deprecatedDownload(c))

  // Deprecated. https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3downloadservernamemediaidfilename
  app.get('/_matrix/media/v3/download/:serverName/:mediaId/:fileName', (c) => deprecatedDownload(c))
}

async function download(c: AppContext): Promise<Response> {
  return await serve(c, askedMedia(c, queryParams(c, downloadQuery).timeout_ms))
}

async function deprecatedDownload(c: AppContext): Promise<Response> {
  return await serve(c, await askedWithoutSession(c, queryParams(c, deprecatedQuery).allow_remote))
}

async function serve(c: AppContext, asked: MediaAsked): Promise<Response> {
  return await serveMedia(c, asked, async (media) => {
    const filename = c.req.param('fileName') ?? media.filename
    return await serveContent(c.env.MEDIA, c.req.raw, { ...media, filename })
  })
}
