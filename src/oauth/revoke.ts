// Revocation of tokens: the end of a session. Specification: client-server API, "Token revocation"; RFC 7009.

import { endDevices } from '../client/end-devices.ts'
import type { App } from '../http/app-type.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { log } from '../log.ts'
import { endBrowserSessionsOf } from '../storage/browser-sessions.ts'
import { sessionOfAnyToken } from '../storage/sessions.ts'
import { formParameters, orOauthError, requiredParameter } from './oauth-error.ts'
import { oauthPath } from './oauth-settings.ts'

/** POST of the revocation endpoint. */
export function revokeRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#token-revocation
  app.post(`${oauthPath}/revoke`, (c) =>
    orOauthError(c, async () => {
      // Nobody guesses a token: the limit is for those who ask and ask.
      await rateLimitByAddress(c, c.env.SEND_LIMIT)
      const token = requiredParameter(await formParameters(c), 'token')
      // Whose client it is does not matter: who finds a token that has leaked shall be able to end it.
      const found = await sessionOfAnyToken(c.env, token)
      // What is not valid, or not any more, needs no end.
      if (!found) return c.body(null, 200)
      // Who signs out of the application means the browser that let it in as well: first, as nothing is found by the token once more.
      await endBrowserSessionsOf(c.env, found.userId)
      // Both tokens, and the device: at once.
      await endDevices(c.env, found, { only: [found.deviceId] })
      log({ event: 'oauth_revoked', user_id: found.userId, device_id: found.deviceId })
      return c.body(null, 200)
    }),
  )
}
