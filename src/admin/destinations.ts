// How the servers fare that ours sends events to.

import { federationSenderStub } from '../env.ts'
import type { App } from '../http/app-type.ts'
import { requireAdmin } from '../http/require-admin.ts'
import { requireSession } from '../http/session.ts'

/** GET /_hearth/admin/v1/destinations, for admins: a `DestinationStanding` a server. */
export function destinationRoutes(app: App): void {
  app.get('/_hearth/admin/v1/destinations', requireSession(), requireAdmin(), async (c) =>
    c.json({ destinations: await federationSenderStub(c.env).listDestinations() }),
  )
}
