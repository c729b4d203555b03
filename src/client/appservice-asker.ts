// Who may have application services asked at endpoints that are open to anyone.

import type { AppContext } from '../http/app-type.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { optionalSession } from '../http/session.ts'
import type { UserId } from '../matrix/event.ts'

/** The user that asks; undefined for guests and those without an account. Refuses tokens that are not valid. 429. */
export async function askerOf(c: AppContext): Promise<UserId | undefined> {
  const session = await optionalSession(c)
  if (!session || session.guest) return undefined
  await rateLimitUser(c.env, c.env.SEND_LIMIT, session)
  return session.userId
}
