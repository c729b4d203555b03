// The token endpoint. Specification: client-server API, "Grant types"; RFC 6749, sections 4.1.3, 5 and 6; RFC 7636, section 4.6;
// RFC 8628, section 3.4.

import { createHash, timingSafeEqual } from 'node:crypto'
import {
  accessTokenLifetimeMs,
  type DeviceRequest,
  openSession,
  type OpenedSession,
} from '../client/new-session.ts'
import type { Env } from '../env.ts'
import { isMatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { clientAddress, rateLimitByAddress } from '../http/rate-limit.ts'
import { log } from '../log.ts'
import type { UserId } from '../matrix/event.ts'
import { noteIssued, type OauthCode, takeCode } from '../storage/oauth-codes.ts'
import { findClient } from '../storage/oauth-clients.ts'
import { pollDeviceCode } from '../storage/oauth-device-codes.ts'
import { rotateRefreshToken, type Successor } from '../storage/refresh-tokens.ts'
import { newSecretToken, tokenHash } from '../storage/secret-token.ts'
import { endSessionsOfGeneration } from '../storage/sessions.ts'
import { findUser, type User } from '../storage/users.ts'
import { deviceCodeGrant, shownName } from './client-metadata.ts'
import { formParameters, OauthError, orOauthError, requiredParameter } from './oauth-error.ts'
import { oauthPath } from './oauth-settings.ts'

type Parameters = ReadonlyMap<string, string>

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

async function byCode(c: AppContext, parameters: Parameters): Promise<Response> {
  const [text, clientId, redirectUri, verifier] = [
    requiredParameter(parameters, 'code'),
    requiredParameter(parameters, 'client_id'),
    requiredParameter(parameters, 'redirect_uri'),
    requiredParameter(parameters, 'code_verifier'),
  ]
  const found = await takeCode(c.env, tokenHash(text))
  if (!found) throw invalidGrant('The code is unknown or has expired')
  const { code, replayed } = found
  if (replayed) return await refuseReplay(c.env, code)
  // Whoever has it, it is used up: only the client it was made for, at the address it was sent to, knows the verifier.
  if (code.clientId !== clientId) throw invalidGrant('The code is another client’s')
  if (code.redirectUri !== redirectUri) throw invalidGrant('The code was sent to another redirect_uri')
  if (!isVerified(code.codeChallenge, verifier)) throw invalidGrant('The code_verifier is wrong')
  const session = await sessionOf(c, code)
  if (!(await noteIssued(c.env, code.codeHash, session.generation))) {
    await endSessionsOfGeneration(c.env, code.userId, session)
    throw invalidGrant('The code was used twice')
  }
  return tokens(c, session, code.scope)
}

/** RFC 6749, section 4.1.2: one of the two who had the code is not the client, and nobody knows which. */
async function refuseReplay(env: Env, { userId, clientId, deviceId, generation }: OauthCode): Promise<never> {
  if (generation !== null) await endSessionsOfGeneration(env, userId, { deviceId, generation })
  log({ event: 'oauth_code_replayed', user_id: userId, client_id: clientId })
  throw invalidGrant('The code was used before')
}

function isVerified(challenge: string, verifier: string): boolean {
  // RFC 7636, section 4.1.
  if (!/^[\w.~-]{43,128}$/.test(verifier)) return false
  const hash = createHash('sha256').update(verifier).digest()
  const expected = Buffer.from(challenge, 'base64url')
  return expected.length === hash.length && timingSafeEqual(hash, expected)
}

interface Agreed {
  readonly clientId: string
  readonly userId: UserId
  readonly scope: string
  readonly deviceId: string
}

async function sessionOf(
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

async function byRefreshToken(c: AppContext, parameters: Parameters): Promise<Response> {
  const clientId = requiredParameter(parameters, 'client_id')
  const accessToken = newSecretToken()
  const refreshToken = newSecretToken()
  const now = Date.now()
  const next = {
    accessTokenHash: tokenHash(accessToken),
    refreshTokenHash: tokenHash(refreshToken),
    expiresAt: now + accessTokenLifetimeMs,
    now,
  }
  // Whatever scope is asked for, what was agreed to is what there is.
  const scope = await rotated(c.env, requiredParameter(parameters, 'refresh_token'), next, clientId)
  return tokens(c, { accessToken, refreshToken }, scope)
}

async function rotated(env: Env, token: string, next: Successor, clientId: string): Promise<string> {
  try {
    return (await rotateRefreshToken(env, token, next, clientId)) ?? ''
  } catch (error) {
    if (!isMatrixError(error)) throw error
    if (error.errcode === 'M_UNKNOWN_TOKEN') throw invalidGrant(error.message)
    throw error
  }
}

async function byDeviceCode(c: AppContext, parameters: Parameters): Promise<Response> {
  const code = requiredParameter(parameters, 'device_code')
  const clientId = requiredParameter(parameters, 'client_id')
  const polled = await pollDeviceCode(c.env, tokenHash(code), clientId)
  if (polled.outcome !== 'agreed') {
    const [error, description] = notAgreed[polled.outcome]
    throw new OauthError(error, description)
  }
  return tokens(c, await sessionOf(c, polled.agreed), polled.agreed.scope)
}

const notAgreed = {
  unknown: ['invalid_grant', 'The device code is unknown'],
  expired: ['expired_token', 'The device code has expired'],
  'too-fast': ['slow_down', 'Wait longer before asking again'],
  pending: ['authorization_pending', 'The user has not answered yet'],
  denied: ['access_denied', 'The user has not let the application in'],
} as const

function tokens(
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

function invalidGrant(description: string): OauthError {
  return new OauthError('invalid_grant', description)
}
