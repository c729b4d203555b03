// How the servers fare that ours sends events to.

import { federationSenderStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { requireSession } from '../http/session.ts'

/** GET /_hearth/admin/v1/destinations, for admins: a `DestinationStanding` a server. */
export function destinationRoutes(app: App): void {
  app.get('/_hearth/admin/v1/destinations', requireSession(), async (c) => {
    if (!c.var.session.admin) throw new MatrixError('M_FORBIDDEN', 403, 'Only admins may ask for that')
    return c.json({ destinations: await federationSenderStub(c.env).listDestinations() })
  })
}
