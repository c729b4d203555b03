// Passwords, checked at login and in user-interactive authentication alike.

import { createHash } from 'node:crypto'
import { config } from '../config.ts'
import { type Env, hubStub, passwordHasherStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { log } from '../log.ts'
import type { UserId } from '../matrix/event.ts'
import { findUser, type User } from '../storage/users.ts'
import { limitExceeded } from './rate-limit.ts'

const shortestPassword = 6
const longestPassword = 512

/**
 * The user whose password this is. Undefined if it is wrong or there is no such user: both take as long and count as
 * a failure. 429 M_LIMIT_EXCEEDED after too many failures or while too many passwords wait to be checked.
 */
export async function checkPassword(env: Env, userId: UserId, password: string): Promise<User | undefined> {
  const lockout = hubStub(env, lockoutShard(env, userId))
  const standing = await lockout.loginStanding(userId)
  if (standing.lockedForMs > 0) throw limitExceeded(standing.lockedForMs)
  const user = await findUser(env, userId)
  const tooLong = password.length > longestPassword
  const phc = tooLong ? null : (user?.passwordHash ?? null)
  if (!(await passwordHasherStub(env).verify(phc, tooLong ? '' : password))) {
    await lockout.loginFailed(userId)
    log({ event: 'login_failed', user_id: userId })
    return undefined
  }
  if (standing.hasFailures) await lockout.loginSucceeded(userId)
  return user
}

/** Ends a lock-out: the user has shown otherwise who they are. */
export async function forgiveFailures(env: Env, userId: UserId): Promise<void> {
  await hubStub(env, lockoutShard(env, userId)).loginSucceeded(userId)
}

// By name, not by the user's own shard: names that do not exist are locked out too.
function lockoutShard(env: Env, userId: UserId): number {
  return createHash('sha256').update(userId).digest().readUInt32BE(0) % config(env).hubShards
}

/** Refuses a password that nobody should have. 400 M_WEAK_PASSWORD, M_INVALID_PARAM. */
export function checkNewPassword(password: string): void {
  if (password.length < shortestPassword) {
    throw new MatrixError('M_WEAK_PASSWORD', 400, `A password has at least ${shortestPassword} characters`)
  }
  if (password.length > longestPassword) {
    throw new MatrixError('M_INVALID_PARAM', 400, `A password has at most ${longestPassword} characters`)
  }
}
