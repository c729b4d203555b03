// The keys that this server signs with, and their replacement.

import { serverKeysStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { requireSession } from '../http/session.ts'

/**
 * GET /_hearth/admin/v1/keys and POST /_hearth/admin/v1/keys/rotate, for admins: the keys, newest first, with the time from
 * which each signs and the time at which it expires, in milliseconds.
 */
export function signingKeyRoutes(app: App): void {
  app.get('/_hearth/admin/v1/keys', requireSession(), async (c) => await keyList(c))

  app.post('/_hearth/admin/v1/keys/rotate', requireSession(), async (c) => {
    requireAdmin(c)
    await serverKeysStub(c.env).rotate()
    return await keyList(c)
  })
}

async function keyList(c: AppContext): Promise<Response> {
  requireAdmin(c)
  const keys = await serverKeysStub(c.env).publicKeys()
  return c.json({
    keys: keys.map(({ keyId, signsFrom, expiredTs }) => ({
      key_id: keyId,
      signs_from: signsFrom,
      expired_ts: expiredTs,
    })),
  })
}

function requireAdmin(c: AppContext): void {
  if (!c.var.session.admin) throw new MatrixError('M_FORBIDDEN', 403, 'Only admins may see to the keys')
}
