// What a grant ends with: a session, and its tokens. Specification: client-server API, "Grant types"; RFC 6749, section 5.1.

import {
  accessTokenLifetimeMs,
  type DeviceRequest,
  openSession,
  type OpenedSession,
} from '../client/new-session.ts'
import { isMatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import { clientAddress } from '../http/rate-limit.ts'
import { log } from '../log.ts'
import type { UserId } from '../matrix/event.ts'
import { findClient } from '../storage/oauth-clients.ts'
import { findUser, type User } from '../storage/users.ts'
import { shownName } from './client-metadata.ts'
import { OauthError } from './oauth-error.ts'

/** What somebody has agreed to. */
export interface Agreed {
  readonly clientId: string
  readonly userId: UserId
  readonly scope: string
  readonly deviceId: string
}

/** Opens the session that somebody has agreed to. OauthError invalid_grant where that is no longer possible. */
export async function grantedSession(
  c: AppContext,
  { clientId, userId, scope, deviceId }: Agreed,
): Promise<OpenedSession & { refreshToken: string }> {
  const user = await findUser(c.env, userId)
  if (!user || user.deactivatedAt !== null || user.locked) throw invalidGrant('The account cannot be used')
  const client = await findClient(c.env, clientId)
  if (!client) throw invalidGrant('The client is not registered any more')
  const session = await openedSession(c, user, {
    device_id: deviceId,
    initial_device_display_name: shownName(client).slice(0, 255),
    refresh_token: true,
    oauth: { clientId, scope },
  })
  log({ event: 'oauth_session', user_id: userId, client_id: clientId, device_id: deviceId })
  // It was asked for.
  return { ...session, refreshToken: session.refreshToken ?? '' }
}

async function openedSession(c: AppContext, user: User, device: DeviceRequest): Promise<OpenedSession> {
  try {
    return await openSession(c.env, user, device, clientAddress(c))
  } catch (error) {
    if (isMatrixError(error) && error.status === 409) throw invalidGrant(error.message)
    throw error
  }
}

/** The answer with the tokens of a session. */
export function tokenAnswer(
  c: AppContext,
  { accessToken, refreshToken }: { readonly accessToken: string; readonly refreshToken: string },
  scope: string,
): Response {
  return c.json({
    access_token: accessToken,
    token_type: 'Bearer',
    expires_in: accessTokenLifetimeMs / 1000,
    refresh_token: refreshToken,
    scope,
  })
}

/** Code, device code or refresh token cannot be used. */
export function invalidGrant(description: string): OauthError {
  return new OauthError('invalid_grant', description)
}
