// A code for tokens. Specification: client-server API, "Authorisation code grant"; RFC 6749, section 4.1.3; RFC 7636, section 4.6.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { Env } from '../env.ts'
import type { AppContext } from '../http/app-type.ts'
import { log } from '../log.ts'
import { noteIssued, type OauthCode, takeCode } from '../storage/oauth-codes.ts'
import { tokenHash } from '../storage/secret-token.ts'
import { endSessionsOfGeneration } from '../storage/sessions.ts'
import { askingClient } from './asking-client.ts'
import { requiredParameter } from './oauth-error.ts'
import { grantedSession, invalidGrant, tokenAnswer } from './token-answer.ts'

/** The answer to grant_type=authorization_code. OauthError invalid_request, invalid_grant. */
export async function byCode(c: AppContext, parameters: ReadonlyMap<string, string>): Promise<Response> {
  const [text, clientId, redirectUri, verifier] = [
    requiredParameter(parameters, 'code'),
    askingClient(c, parameters),
    requiredParameter(parameters, 'redirect_uri'),
    requiredParameter(parameters, 'code_verifier'),
  ]
  const found = await takeCode(c.env, tokenHash(text))
  if (!found) throw invalidGrant('The code is unknown or has expired')
  const { code, replayed } = found
  if (replayed) return await refuseReplay(c.env, code)
  // Whoever has it, it is used up: only the client it was made for, at the address it was sent to, knows the verifier. So it is
  // after a crash from here on, which leaves at worst a session that nobody has the tokens of: its user lets the client in anew.
  if (code.clientId !== clientId) throw invalidGrant('The code is another client’s')
  if (code.redirectUri !== redirectUri) throw invalidGrant('The code was sent to another redirect_uri')
  if (!isVerified(code.codeChallenge, verifier)) throw invalidGrant('The code_verifier is wrong')
  const session = await grantedSession(c, code)
  if (!(await noteIssued(c.env, code.codeHash, session.generation))) {
    await endSessionsOfGeneration(c.env, code.userId, session)
    throw invalidGrant('The code was used twice')
  }
  return tokenAnswer(c, session, code.scope)
}

/**
 * RFC 6749, section 4.1.2: one of the two who had the code is not the client, and nobody knows which. The tokens end. The device does
 * not: its keys may have been there before, and its client comes with them once more.
 */
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
