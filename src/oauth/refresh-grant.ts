// A refresh token for new tokens. Specification: client-server API, "Refresh token grant"; RFC 6749, section 6; RFC 9700, section 4.14.

import { endDevice } from '../client/end-devices.ts'
import { accessTokenLifetimeMs } from '../client/new-session.ts'
import { isMatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import { log } from '../log.ts'
import {
  type RefreshingClient,
  rotateRefreshToken,
  type Rotation,
  type Successor,
} from '../storage/refresh-tokens.ts'
import { newSecretToken, tokenHash } from '../storage/secret-token.ts'
import { askingClient } from './asking-client.ts'
import { requiredParameter } from './oauth-error.ts'
import { checkNoMore } from './scope.ts'
import { invalidGrant, tokenAnswer } from './token-answer.ts'

/** The answer to grant_type=refresh_token. OauthError invalid_request, invalid_scope, invalid_grant. */
export async function byRefreshToken(
  c: AppContext,
  parameters: ReadonlyMap<string, string>,
): Promise<Response> {
  const token = requiredParameter(parameters, 'refresh_token')
  const client = {
    clientId: askingClient(c, parameters),
    // Less than what was agreed to is not to be had either: the answer says what there is.
    checkScope: (granted: string) => checkNoMore(parameters.get('scope'), granted),
  }
  const accessToken = newSecretToken()
  const refreshToken = newSecretToken()
  const now = Date.now()
  const next = {
    accessTokenHash: tokenHash(accessToken),
    refreshTokenHash: tokenHash(refreshToken),
    expiresAt: now + accessTokenLifetimeMs,
    now,
  }
  const rotation = await rotated(c, token, next, client)
  if (rotation.outcome === 'reused') {
    const { userId, deviceId } = rotation
    await endDevice(c.env, rotation, rotation)
    log({ event: 'oauth_refresh_token_reused', user_id: userId, device_id: deviceId })
    throw invalidGrant('The refresh token was used before')
  }
  return tokenAnswer(c, { accessToken, refreshToken }, rotation.scope ?? '')
}

async function rotated(
  c: AppContext,
  token: string,
  next: Successor,
  client: RefreshingClient,
): Promise<Rotation> {
  try {
    return await rotateRefreshToken(c.env, token, next, client)
  } catch (error) {
    if (isMatrixError(error) && error.errcode === 'M_UNKNOWN_TOKEN') throw invalidGrant(error.message)
    throw error
  }
}
