// Specification: client-server API, "Voice over IP": credentials for TURN servers.

import { createHmac } from 'node:crypto'
import type { App } from '../http/app-type.ts'
import { requireSession } from '../http/session.ts'
import { turnSettings } from './turn-settings.ts'

/** GET /voip/turnServer. Empty where the operator has none. */
export function voipRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3voipturnserver
  app.get('/_matrix/client/v3/voip/turnServer', requireSession(), (c) => {
    const turn = turnSettings(c.env)
    if (!turn) return c.json({})
    const { uris, ttlSeconds, credentials } = turn
    const answer = { uris, ttl: ttlSeconds }
    if ('username' in credentials) return c.json({ ...answer, ...credentials })
    // The TURN REST scheme: the name says until when it is good, the password proves that we gave it out.
    const username = `${Math.floor(Date.now() / 1000) + ttlSeconds}:${c.var.session.userId}`
    const password = createHmac('sha1', credentials.secret).update(username).digest('base64')
    return c.json({ ...answer, username, password })
  })
}
