// The account behind a completed interactive authentication.

import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { InteractiveAuthSession } from '../storage/interactive-auth-sessions.ts'
import { findUser, type User } from '../storage/users.ts'

/** Who authenticated. 403 M_FORBIDDEN where they have no account (any more). */
export async function authenticatedUser(env: Env, { userId }: InteractiveAuthSession): Promise<User> {
  const user = userId === null ? undefined : await findUser(env, userId)
  if (!user || user.deactivatedAt !== null) throw new MatrixError('M_FORBIDDEN', 403, 'No such account')
  return user
}
