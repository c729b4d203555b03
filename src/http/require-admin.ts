// Endpoints for administrators of this server.

import { createMiddleware } from 'hono/factory'
import { MatrixError } from '../errors.ts'
import type { AppEnv } from './app-type.ts'

/**
 * Middleware behind `requireSession`: who asks must be an administrator. 403 M_FORBIDDEN, before anything is looked up that
 * the answer could tell of.
 */
export function requireAdmin() {
  return createMiddleware<AppEnv>(async (c, next) => {
    if (!c.var.session.admin) throw new MatrixError('M_FORBIDDEN', 403, 'Only administrators may do that')
    await next()
  })
}
