// Who is asking: the access token of a request, looked up in D1. An application service asks with a token of its own.
// Specification: client-server API, "Using access tokens", "Guest access"; application service API, "Identity assertion".

import { createMiddleware } from 'hono/factory'
import { actingSession } from '../appservice/acting-session.ts'
import { appserviceOfToken } from '../appservice/namespaces.ts'
import type { Appservice } from '../appservice/registration.ts'
import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { findSession } from '../storage/sessions.ts'
import type { AppContext, AppEnv } from './app-type.ts'

/** The device that a session is of. */
export interface SessionDevice {
  readonly deviceId: string
  /** Tells this device from an earlier one with the same id. */
  readonly generation: number
}

interface SessionUser {
  readonly userId: UserId
  /** The Hub shard of the user. */
  readonly shard: number
  readonly guest: boolean
  readonly admin: boolean
  /** Suspended users may read, leave and log out, but not send, join or change their profile. */
  readonly suspended: boolean
}

/** The session of somebody who has logged in. */
export interface DeviceSession extends SessionUser {
  readonly device: SessionDevice
  readonly appservice?: undefined
  /** The client of the OAuth 2.0 API that has the session. */
  readonly oauthClient?: string
}

/** The session of an application service that acts as a user. */
export interface AppserviceSession extends SessionUser {
  /** Undefined where it acts as none. */
  readonly device: SessionDevice | undefined
  readonly appservice: Appservice
  readonly oauthClient?: undefined
}

export type Session = DeviceSession | AppserviceSession

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

/** The device of a session, for what only devices do. 400 M_MISSING_PARAM where an application service acts as none. */
export function deviceOf({ device }: Session): SessionDevice {
  if (device) return device
  throw new MatrixError('M_MISSING_PARAM', 400, 'Missing parameter: device_id, as this is done by devices')
}

/**
 * Refuses application services. 403 M_FORBIDDEN. They may do what their users may, "except for Account Management": no password
 * and no address may open an account to others that has none. Closing one is left to them, as "full control" over users is.
 */
export function refuseAppservice(session: Session | undefined): void {
  if (session?.appservice) {
    throw new MatrixError('M_FORBIDDEN', 403, 'Application services may not change how users log in')
  }
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

/**
 * Looks the session of a request up once more that has waited: what cut the wait short may have been its end, or that of the
 * account. Throws as at first.
 */
export async function confirmSession(c: AppContext): Promise<void> {
  await sessionOf(c, false)
}

function guestForbidden(): MatrixError {
  return new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 403, 'Guests may not use this endpoint')
}

async function sessionOf(c: AppContext, allowLocked: boolean): Promise<Session> {
  const token = accessToken(c)
  if (token === undefined) throw new MatrixError('M_MISSING_TOKEN', 401, 'An access token is required')
  const appservice = appserviceOfToken(c.env, token)
  return appservice
    ? await actingSession(c, appservice, { allowLocked })
    : await findSession(c.env, token, { allowLocked })
}
