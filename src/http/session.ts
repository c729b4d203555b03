// Who is asking: the access token of a request, looked up in D1.
// Specification: client-server API, "Using access tokens", "Guest access".

import { createMiddleware } from 'hono/factory'
import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { findSession } from '../storage/sessions.ts'
import type { AppContext, AppEnv } from './app-type.ts'

export interface Session {
  readonly userId: UserId
  readonly deviceId: string
  /** Tells this device from an earlier one with the same id. */
  readonly generation: number
  /** The Hub shard of the user. */
  readonly shard: number
  readonly guest: boolean
  readonly admin: boolean
  /** Suspended users may read, leave and log out, but not send, join or change their profile. */
  readonly suspended: boolean
  /** SHA-256 of the access token, the key of the session's row. */
  readonly tokenHash: string
}

/** The access token of a request: the Authorization header, or the deprecated query parameter. */
export function accessToken(c: AppContext): string | undefined {
  const header = c.req.header('Authorization')
  const bearer = header === undefined ? undefined : /^Bearer +(\S+) *$/i.exec(header)?.[1]
  return bearer ?? c.req.query('access_token')
}

/**
 * Middleware: the request must carry a valid access token; the session is then `c.var.session`.
 * Guests and locked users are refused unless the endpoint is open to them.
 */
export function requireSession(options: { guests?: boolean; locked?: boolean } = {}) {
  return createMiddleware<AppEnv>(async (c, next) => {
    const session = await sessionOf(c, options.locked === true)
    // Guests reach only the endpoints that the specification lists for them.
    if (session.guest && !options.guests) throw guestForbidden()
    c.set('session', session)
    await next()
  })
}

/** Refuses what a suspended user may not do. 403 M_USER_SUSPENDED. Specification: "Account suspension". */
export function refuseSuspended(session: Session): void {
  if (session.suspended) throw new MatrixError('M_USER_SUSPENDED', 403, 'This account is suspended')
}

/** The session of a request that may come without one, but not from a guest. A token that is there must be valid. */
export async function optionalFullSession(c: AppContext): Promise<Session | undefined> {
  const session = await optionalSession(c)
  if (session?.guest) throw guestForbidden()
  return session
}

/** The session of a request that may come without one, also that of a guest. A token that is there must be valid. */
export async function optionalSession(c: AppContext): Promise<Session | undefined> {
  return accessToken(c) === undefined ? undefined : await sessionOf(c, false)
}

/** Refuses those who are not signed in, for what is open to anyone but has to be asked of other servers. M_FORBIDDEN. */
export async function requireKnownUser(c: AppContext): Promise<void> {
  if (await optionalFullSession(c)) return
  throw new MatrixError('M_FORBIDDEN', 403, 'Sign in to ask other servers')
}

function guestForbidden(): MatrixError {
  return new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 403, 'Guests may not use this endpoint')
}

async function sessionOf(c: AppContext, allowLocked: boolean): Promise<Session> {
  const token = accessToken(c)
  if (token === undefined) throw new MatrixError('M_MISSING_TOKEN', 401, 'An access token is required')
  return await findSession(c.env, token, { allowLocked })
}
