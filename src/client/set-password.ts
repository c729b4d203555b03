// A new password, whoever has asked for it. Specification: client-server API, "Password management".

import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { forgiveFailures } from '../http/check-password.ts'
import type { DeviceSelection } from '../hub/devices.ts'
import type { UserId } from '../matrix/event.ts'
import { endBrowserSessionsOf } from '../storage/browser-sessions.ts'
import { voidPasswordValidations, usePasswordValidation } from '../storage/threepid-validations.ts'
import { setPasswordHash, type User } from '../storage/users.ts'
import { endDevices } from './end-devices.ts'

/**
 * Gives a user a password by its hash, and ends devices. No browser stays signed in: whoever knew the password before may be in front
 * of it. 403 M_USER_DEACTIVATED for an account that was closed meanwhile.
 */
export async function setPassword(
  env: Env,
  user: Pick<User, 'userId' | 'shard'>,
  passwordHash: string,
  ended: DeviceSelection | undefined,
): Promise<void> {
  if (!(await setPasswordHash(env, user.userId, passwordHash))) {
    throw new MatrixError('M_USER_DEACTIVATED', 403, 'The account was deactivated')
  }
  await endBrowserSessionsOf(env, user.userId)
  // Who had read a mail of the account beforehand does not replace it again.
  await voidPasswordValidations(env, user.userId)
  if (ended !== undefined) await endDevices(env, user, ended)
}

/**
 * Uses up a confirmed address, which is good for one new password; whoever was locked out by wrong ones is let in with it.
 * 403 M_THREEPID_AUTH_FAILED.
 */
export async function useAddress(env: Env, validation: string, userId: UserId): Promise<void> {
  if (!(await usePasswordValidation(env, validation, userId, Date.now()))) {
    throw new MatrixError('M_THREEPID_AUTH_FAILED', 403, 'The address was used for another request')
  }
  await forgiveFailures(env, userId)
}
