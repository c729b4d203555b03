// Specification: client-server API, "Current account information".

import type { App } from '../http/app-type.ts'
import { requireSession } from '../http/session.ts'

/** GET /account/whoami. */
export function whoamiRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3accountwhoami
  app.get('/_matrix/client/v3/account/whoami', requireSession({ guests: true }), (c) => {
    const { userId, device, guest } = c.var.session
    return c.json({
      user_id: userId,
      ...(device ? { device_id: device.deviceId } : {}),
      ...(guest ? { is_guest: true } : {}),
    })
  })
}
