// New accounts: user names, and the rows behind them. Specification: appendices, "User Identifiers";
// client-server API, "Account registration".

import { randomInt } from 'node:crypto'
import { refuseForeignUser } from '../appservice/namespaces.ts'
import type { Appservice } from '../appservice/registration.ts'
import { config } from '../config.ts'
import { type Env, passwordHasherStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { validatedBy } from '../http/auth-stages/email-identity.ts'
import { acceptedPolicies } from '../http/auth-stages/terms.ts'
import { asciiLowerCase } from '../http/user-identifier.ts'
import { log } from '../log.ts'
import type { UserId } from '../matrix/event.ts'
import { newUserId } from '../matrix/identifiers.ts'
import type { InteractiveAuthSession } from '../storage/interactive-auth-sessions.ts'
import { insertLinkedUser, type LinkedRegistration } from '../storage/sso-links.ts'
import { findUser, insertUser, insertUserOnce, type Registration } from '../storage/users.ts'

/** A free user id for a user name, in lower case. 400 M_INVALID_USERNAME, M_EXCLUSIVE, M_USER_IN_USE. */
export async function freeUserId(env: Env, username: string): Promise<UserId> {
  const localpart = asciiLowerCase(username)
  const userId = newUserId(localpart, config(env).serverName)
  if (userId === undefined) {
    throw new MatrixError('M_INVALID_USERNAME', 400, 'A user name consists of a-z, 0-9 and . _ = - / +')
  }
  refuseForeignUser(env, userId)
  // By convention the users of bridges begin so.
  if (localpart.startsWith('_')) {
    throw new MatrixError('M_INVALID_USERNAME', 400, 'A user name cannot begin with an underscore')
  }
  if (await findUser(env, userId)) throw userInUse()
  return userId
}

/** A user id for somebody who chose none. */
export function generatedUserId(env: Env, prefix = ''): UserId {
  const letters = Array.from({ length: 12 }, () => 'abcdefghijkmnpqrstuvwxyz23456789'.charAt(randomInt(32)))
  const userId = newUserId(`${prefix}${letters.join('')}`, config(env).serverName)
  if (userId === undefined) throw new Error('the server name is too long for user ids')
  return userId
}

export interface Account {
  readonly userId: UserId
  readonly shard: number
}

export type AccountRequest = {
  readonly userId: UserId
  /** Null for an account that no password opens. */
  readonly password: string | null
  /** The application service that asks for it. */
  readonly appservice?: Appservice
} & (
  | { readonly admin: boolean; readonly guest: boolean }
  /** A completed authentication session, used up with the creation: its token says whether it is an administrator. */
  | { readonly auth: InteractiveAuthSession }
  /** Somebody who has signed in with an identity provider. */
  | { readonly singleSignOn: LinkedRegistration }
)

/** Creates an account. 400 M_EXCLUSIVE, M_USER_IN_USE, 403 M_FORBIDDEN for an authentication session that was used before. */
export async function createAccount(env: Env, request: AccountRequest): Promise<Account> {
  const { userId, password } = request
  refuseForeignUser(env, userId, request.appservice)
  const shard = randomInt(config(env).hubShards)
  const passwordHash = password === null ? null : await passwordHasherStub(env).hash(password)
  const user = { userId, shard, passwordHash, createdAt: Date.now() }
  if ('auth' in request) {
    const { auth } = request
    const registration = registrationBy(auth)
    const outcome = await insertUserOnce(env, { ...user, guest: false }, auth.id, registration)
    refuseFailedAddress(outcome)
    if (outcome === 'user-in-use') throw userInUse()
    if (outcome === 'session-used')
      throw new MatrixError('M_FORBIDDEN', 403, 'The authentication session was used')
  } else if ('singleSignOn' in request) {
    if ((await insertLinkedUser(env, user, request.singleSignOn)) !== 'created') throw userInUse()
  } else if (!(await insertUser(env, { ...user, admin: request.admin, guest: request.guest }))) {
    throw userInUse()
  }
  log({ event: 'user_registered', user_id: userId })
  return { userId, shard }
}

/** What somebody registers with who has authenticated. */
export function registrationBy(auth: InteractiveAuthSession): Registration {
  return { policies: acceptedPolicies(auth), validation: validatedBy(auth) }
}

/** 400 M_THREEPID_IN_USE, 403 M_THREEPID_AUTH_FAILED where that is what came of a registration. */
export function refuseFailedAddress(outcome: string): void {
  if (outcome === 'threepid-in-use') {
    throw new MatrixError('M_THREEPID_IN_USE', 400, 'The address belongs to an account already')
  }
  if (outcome === 'not-validated') {
    throw new MatrixError('M_THREEPID_AUTH_FAILED', 403, 'The address was used for another registration')
  }
}

function userInUse(): MatrixError {
  return new MatrixError('M_USER_IN_USE', 400, 'The user name is taken')
}
