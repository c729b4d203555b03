// A device code for tokens, once somebody has agreed elsewhere. Specification: client-server API, "Device authorisation grant"; RFC 8628,
// sections 3.4 and 3.5.

import type { AppContext } from '../http/app-type.ts'
import { pollDeviceCode } from '../storage/oauth-device-codes.ts'
import { tokenHash } from '../storage/secret-token.ts'
import { askingClient } from './asking-client.ts'
import { OauthError, requiredParameter } from './oauth-error.ts'
import { grantedSession, tokenAnswer } from './token-answer.ts'

/** The answer to a client that asks whether its user has agreed. OauthError. */
export async function byDeviceCode(
  c: AppContext,
  parameters: ReadonlyMap<string, string>,
): Promise<Response> {
  const code = requiredParameter(parameters, 'device_code')
  const clientId = askingClient(c, parameters)
  const polled = await pollDeviceCode(c.env, tokenHash(code), clientId)
  if (polled.outcome !== 'agreed') {
    const [error, description] = notAgreed[polled.outcome]
    throw new OauthError(error, description)
  }
  // It is used up: after a crash here its user lets the client in anew.
  return tokenAnswer(c, await grantedSession(c, polled.agreed), polled.agreed.scope)
}

const notAgreed = {
  unknown: ['invalid_grant', 'The device code is unknown'],
  expired: ['expired_token', 'The device code has expired'],
  'too-fast': ['slow_down', 'Wait longer before asking again'],
  pending: ['authorization_pending', 'The user has not answered yet'],
  denied: ['access_denied', 'The user has not let the application in'],
} as const
