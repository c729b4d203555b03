// The token endpoint. Specification: client-server API, "Grant types"; RFC 6749, section 3.2.

import type { App } from '../http/app-type.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { deviceCodeGrant } from './client-metadata.ts'
import { byCode } from './code-grant.ts'
import { byDeviceCode } from './device-grant.ts'
import { formParameters, OauthError, orOauthError, requiredParameter } from './oauth-error.ts'
import { oauthPath } from './oauth-settings.ts'
import { byRefreshToken } from './refresh-grant.ts'

/** POST of the token endpoint. */
export function tokenRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#grant-types
  app.post(`${oauthPath}/token`, (c) =>
    orOauthError(c, async () => {
      // Nobody guesses a token: the limit is for those who ask and ask.
      await rateLimitByAddress(c, c.env.SEND_LIMIT)
      const parameters = await formParameters(c)
      const grant = requiredParameter(parameters, 'grant_type')
      switch (grant) {
        case 'authorization_code':
          return await byCode(c, parameters)
        case 'refresh_token':
          return await byRefreshToken(c, parameters)
        case deviceCodeGrant:
          return await byDeviceCode(c, parameters)
        default:
          throw new OauthError('unsupported_grant_type', `Unknown grant type: ${grant.slice(0, 100)}`)
      }
    }),
  )
}
