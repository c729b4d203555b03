// Specification: client-server API, "Refreshing access tokens".

import * as v from 'valibot'
import type { App } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { rotateRefreshToken } from '../storage/refresh-tokens.ts'
import { newSecretToken, tokenHash } from '../storage/secret-token.ts'
import { endSessionsOfGeneration, unknownToken } from '../storage/sessions.ts'
import { accessTokenLifetimeMs } from './new-session.ts'

/** POST /refresh. */
export function refreshRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3refresh
  app.post('/_matrix/client/v3/refresh', async (c) => {
    await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
    const request = await jsonBody(c, v.object({ refresh_token: v.string() }))
    const accessToken = newSecretToken()
    const refreshToken = newSecretToken()
    const now = Date.now()
    const rotation = await rotateRefreshToken(c.env, request.refresh_token, {
      accessTokenHash: tokenHash(accessToken),
      refreshTokenHash: tokenHash(refreshToken),
      expiresAt: now + accessTokenLifetimeMs,
      now,
    })
    if (rotation.outcome === 'reused') {
      // The device lives on: its user may log in with it again.
      await endSessionsOfGeneration(c.env, rotation.userId, rotation)
      throw unknownToken('The refresh token has been used before', true)
    }
    return c.json({
      access_token: accessToken,
      refresh_token: refreshToken,
      expires_in_ms: accessTokenLifetimeMs,
    })
  })
}
