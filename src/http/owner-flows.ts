// How the owner of an account shows that it is they who ask, and not somebody who has found an access token.
// Specification: client-server API, "User-Interactive Authentication API".

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { linkedProviders } from '../storage/sso-links.ts'
import { findUser, type User } from '../storage/users.ts'
import type { Flows } from './interactive-auth-stages.ts'
import type { Session } from './session.ts'

/** The flows of somebody who is not signed in: only their password says who they are. 401 M_MISSING_TOKEN without passwords. */
export function passwordFlows(env: Env): Flows {
  if (config(env).passwordLogin) return [['m.login.password']]
  throw new MatrixError('M_MISSING_TOKEN', 401, 'An access token is required')
}

/**
 * The flows that an account has the means for: its password, signing in once more with a provider that it is linked with, or
 * either. None for an application service, which is asked for nothing. 403 M_FORBIDDEN where the account has no means, and for
 * clients of the OAuth 2.0 API: they are not trusted with a password, and what takes one is done on the account page.
 */
export async function ownerFlows(env: Env, { userId, appservice, oauthClient }: Session): Promise<Flows> {
  if (appservice) return []
  if (oauthClient !== undefined) throw onAccountPage()
  const user = await findUser(env, userId)
  const { byPassword, bySso } = await ownerMeans(env, { userId, passwordHash: user?.passwordHash ?? null })
  if (!byPassword && !bySso) {
    throw new MatrixError('M_FORBIDDEN', 403, 'This account has nothing to authenticate with')
  }
  return [
    ...(byPassword ? [['m.login.password'] as const] : []),
    ...(bySso ? [['m.login.sso'] as const] : []),
  ]
}

/** What an account has the means for, to show whose it is. */
export async function ownerMeans(
  env: Env,
  { userId, passwordHash }: Pick<User, 'userId' | 'passwordHash'>,
): Promise<{ readonly byPassword: boolean; readonly bySso: boolean }> {
  const { sso, passwordLogin } = config(env)
  const linked = sso === undefined ? [] : await linkedProviders(env, userId)
  const bySso = sso?.providers.some(({ id }) => linked.includes(id)) === true
  // Where passwords are no login any more they still say who somebody is that has nothing else.
  return { byPassword: passwordHash !== null && (passwordLogin || !bySso), bySso }
}

/** The flows for new cross-signing keys, which clients of the OAuth 2.0 API may replace: their users agree on the account page. */
export async function crossSigningFlows(env: Env, session: Session): Promise<Flows> {
  if (session.oauthClient === undefined) return await ownerFlows(env, session)
  // MSC4312: deployed clients know the second.
  return [['m.oauth'], ['org.matrix.cross_signing_reset']]
}

function onAccountPage(): MatrixError {
  return new MatrixError('M_FORBIDDEN', 403, 'This is done on the account page: see account_management_uri')
}
