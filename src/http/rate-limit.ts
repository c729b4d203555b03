// Rate limits by the platform's binding. Specification: client-server API, "Rate limiting".

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { AppContext } from './app-type.ts'
import type { Session } from './session.ts'

/** Refuses with 429 M_LIMIT_EXCEEDED when `key` (a user id, an address) has used up the limit. */
export async function rateLimit(env: Env, limit: RateLimit, key: string): Promise<void> {
  if (!config(env).rateLimits) return
  const { success } = await limit.limit({ key })
  if (!success) throw limitExceeded(10_000)
}

/** Refuses with 429 when the user of a session has used up the limit. `kind` keeps apart what is counted by itself. */
export async function rateLimitUser(env: Env, limit: RateLimit, session: Session, kind = ''): Promise<void> {
  if (isLimited(session)) await rateLimit(env, limit, `${kind}${session.userId}`)
}

/** Whether there are limits for a session: not for the sender of an application service, nor where its registration lifts them. */
export function isLimited({ appservice, userId }: Session): boolean {
  return !appservice || (appservice.rateLimited && userId !== appservice.sender)
}

/** The 429 answer; `Retry-After` is derived from `retry_after_ms` where errors are rendered. */
export function limitExceeded(retryAfterMs: number): MatrixError {
  return new MatrixError('M_LIMIT_EXCEEDED', 429, 'Too many requests', { retry_after_ms: retryAfterMs })
}

/** The address a request comes from, as far as the platform tells. */
export function clientAddress(c: AppContext): string | undefined {
  return c.req.header('CF-Connecting-IP')
}

/** Refuses with 429 when the address of a request has used up the limit. */
export async function rateLimitByAddress(c: AppContext, limit: RateLimit): Promise<void> {
  await rateLimit(c.env, limit, clientAddress(c) ?? 'local')
}
