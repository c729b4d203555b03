// Specification: client-server API, "Push Notifications". This server sends nothing to push gateways: nobody can set
// a pusher, and nobody has one.

import type { App } from '../http/app-type.ts'
import { requireSession } from '../http/session.ts'

/** GET /pushers. */
export function pusherRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3pushers
  app.get('/_matrix/client/v3/pushers', requireSession(), (c) => c.json({ pushers: [] }))
}
