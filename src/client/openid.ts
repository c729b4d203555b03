// Specification: client-server API, "OpenID".

import { config } from '../config.ts'
import type { App } from '../http/app-type.ts'
import { jsonObject } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { requireSession } from '../http/session.ts'
import { createOpenidToken } from '../storage/openid-tokens.ts'
import { requireOwnUser } from './own-user.ts'

const lifetimeSeconds = 3600

/** POST /user/{userId}/openid/request_token. */
export function openidRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridopenidrequest_token
  app.post('/_matrix/client/v3/user/:userId/openid/request_token', requireSession(), async (c) => {
    const { userId } = c.var.session
    requireOwnUser(c)
    await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
    await jsonObject(c, { optional: true })
    const token = await createOpenidToken(c.env, userId, Date.now() + lifetimeSeconds * 1000)
    return c.json({
      access_token: token,
      token_type: 'Bearer',
      matrix_server_name: config(c.env).serverName,
      expires_in: lifetimeSeconds,
    })
  })
}
