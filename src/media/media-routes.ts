// The content repository: uploads, downloads and thumbnails. The content streams between the client and R2, D1 knows
// what it is. Specification: client-server API, "Content repository".

import type { App } from '../http/app-type.ts'
import { requireSession } from '../http/session.ts'
import { downloadRoutes } from './download.ts'
import { mediaConfig } from './media-config.ts'
import { thumbnailRoutes } from './thumbnail.ts'
import { uploadRoutes } from './upload.ts'
import { urlPreviewRoutes } from './url-preview.ts'

/** All endpoints of the module. */
export function mediaRoutes(app: App): void {
  uploadRoutes(app)
  downloadRoutes(app)
  thumbnailRoutes(app)
  urlPreviewRoutes(app)

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediaconfig
  app.get('/_matrix/client/v1/media/config', requireSession(), (c) => {
    return c.json({ 'm.upload.size': mediaConfig(c.env).maxUploadBytes })
  })

  // As it was proposed, for clients of before v1.11.
  app.get('/_matrix/client/unstable/org.matrix.msc3916/media/config', requireSession(), (c) => {
    return c.json({ 'm.upload.size': mediaConfig(c.env).maxUploadBytes })
  })

  // Deprecated. https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3config
  app.get('/_matrix/media/v3/config', requireSession(), (c) => {
    return c.json({ 'm.upload.size': mediaConfig(c.env).maxUploadBytes })
  })
}
