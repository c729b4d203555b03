// Application services that act as the users they look after, by the token of theirs and without one of the user's.
// Specification: application service API, "Identity assertion", "Server admin style permissions".

import { type Env, hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import { clientAddress } from '../http/rate-limit.ts'
import type { AppserviceSession, SessionDevice } from '../http/session.ts'
import type { UserId } from '../matrix/event.ts'
import { parseUserId } from '../matrix/identifiers.ts'
import { cachedActing, cacheActing, sessionEpoch } from '../storage/session-cache.ts'
import { userLocked } from '../storage/sessions.ts'
import { looksAfterUser } from './namespaces.ts'
import type { Appservice } from './registration.ts'
import { findOrMakeSender } from './sender-account.ts'

/**
 * The session of a request that carries the token of an application service: that of the user and the device which its
 * query names. 400 M_INVALID_PARAM, 403 M_FORBIDDEN for a user who is not of its namespace or not registered, 403
 * M_USER_DEACTIVATED, 401 M_USER_LOCKED unless `allowLocked`, 400 M_UNKNOWN_DEVICE.
 */
export async function actingSession(
  c: AppContext,
  appservice: Appservice,
  options: { readonly allowLocked: boolean },
): Promise<AppserviceSession> {
  const session = await userSession(c.env, appservice, actingUser(c, appservice), options)
  const device = await actingDevice(c, session)
  return device ? { ...session, device } : session
}

/** "If the parameter is missing, the homeserver is to assume the application service intends to act as" its sender. */
function actingUser(c: AppContext, appservice: Appservice): UserId {
  const text = c.req.query('user_id')
  if (text === undefined) return appservice.sender
  const userId = parseUserId(text)
  if (!userId) throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter user_id: not a user id')
  if (looksAfterUser(c.env, appservice, userId)) return userId
  throw new MatrixError('M_FORBIDDEN', 403, 'The user is not in the namespace of the application service')
}

async function userSession(
  env: Env,
  appservice: Appservice,
  userId: UserId,
  { allowLocked }: { readonly allowLocked: boolean },
): Promise<AppserviceSession> {
  const known = cachedActing(appservice.asTokenHash, userId)
  if (known) return known
  const lookedUpAt = sessionEpoch()
  const user = await findOrMakeSender(env, userId)
  if (!user) throw new MatrixError('M_FORBIDDEN', 403, 'The application service has not registered this user')
  if (user.deactivatedAt !== null) {
    throw new MatrixError('M_USER_DEACTIVATED', 403, 'The account was deactivated')
  }
  // What locks others out locks out those who act for them.
  if (user.locked && !allowLocked) throw userLocked()
  const { shard, guest, admin, suspended } = user
  const session = { userId, device: undefined, appservice, shard, guest, admin, suspended }
  if (!user.locked) cacheActing(env, lookedUpAt, session)
  return session
}

/** The parameter that names a device, and the error for one that the user does not have (MSC4326, and before it). */
const deviceParams = [
  ['device_id', 'M_UNKNOWN_DEVICE'],
  ['org.matrix.msc3202.device_id', 'ORG.MATRIX.MSC4326.M_UNKNOWN_DEVICE'],
] as const

async function actingDevice(c: AppContext, session: AppserviceSession): Promise<SessionDevice | undefined> {
  for (const [name, errcode] of deviceParams) {
    const deviceId = c.req.query(name)
    if (deviceId === undefined) continue
    const hub = hubStub(c.env, session.shard)
    const generation = await hub.actAsDevice(session.userId, deviceId, clientAddress(c))
    if (generation !== undefined) return { deviceId, generation }
    throw new MatrixError(errcode, 400, `Invalid parameter ${name}: not a device of the user`)
  }
  return undefined
}
