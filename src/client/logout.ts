// Specification: client-server API, POST /logout and /logout/all. Both stay open to locked users.

import type { App } from '../http/app-type.ts'
import { deviceOf, requireSession } from '../http/session.ts'
import { endDevices } from './end-devices.ts'

/** POST /logout, POST /logout/all. */
export function logoutRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logout
  app.post('/_matrix/client/v3/logout', requireSession({ locked: true }), async (c) => {
    const { session } = c.var
    await endDevices(c.env, session, { only: [deviceOf(session).deviceId] })
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3logoutall
  app.post('/_matrix/client/v3/logout/all', requireSession({ locked: true }), async (c) => {
    await endDevices(c.env, c.var.session, { allBut: undefined })
    return c.json({})
  })
}
