// A guest becomes a user under the same user id. Specification: client-server API, "Guest Access".

import { config } from '../config.ts'
import { passwordHasherStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import { interactiveAuth } from '../http/interactive-auth.ts'
import { asciiLowerCase } from '../http/user-identifier.ts'
import type { JsonObject } from '../matrix/json.ts'
import { newUserId } from '../matrix/identifiers.ts'
import { findSession } from '../storage/sessions.ts'
import { upgradeGuest } from '../storage/users.ts'
import { type Account, refuseFailedAddress, registrationBy } from './create-account.ts'
import { guestUpgradeFlows } from './registration-flows.ts'

export interface UpgradeRequest {
  readonly guest_access_token: string
  readonly username: string | undefined
  readonly password: string | undefined
}

/**
 * Turns the guest whose access token is given into a user with a password. Answers the 401 response where they have
 * not authenticated yet. The user name must be the guest's own: 403 M_FORBIDDEN.
 */
export async function upgradedGuest(
  c: AppContext,
  body: JsonObject,
  request: UpgradeRequest,
): Promise<Response | Account> {
  const guest = await findSession(c.env, request.guest_access_token)
  const userId = newUserId(asciiLowerCase(request.username ?? ''), config(c.env).serverName)
  if (!guest.guest || guest.userId !== userId) {
    throw new MatrixError('M_FORBIDDEN', 403, 'Only a guest can be upgraded, under the same user name')
  }
  const auth = await interactiveAuth(c, { body, flows: guestUpgradeFlows(c.env), session: undefined })
  if (auth instanceof Response) return auth
  if (request.password === undefined) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: password')
  const passwordHash = await passwordHasherStub(c.env).hash(request.password)
  const outcome = await upgradeGuest(c.env, userId, passwordHash, registrationBy(auth))
  refuseFailedAddress(outcome)
  if (outcome !== 'upgraded') {
    throw new MatrixError('M_USER_IN_USE', 400, 'The guest has been upgraded before')
  }
  return { userId, shard: guest.shard }
}
