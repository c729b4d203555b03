// Sessions: an access token, the device it is for, and who owns that.
// Specification: client-server API, "Using access tokens", "Soft logout", "Account locking".

import { and, eq, inArray, isNotNull, ne } from 'drizzle-orm'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { DeviceSelection } from '../hub/devices.ts'
import type { DeviceSession } from '../http/session.ts'
import type { UserId } from '../matrix/event.ts'
import { database } from './database.ts'
import { browserSessions, crossSigningResets, oauthCodes, oauthDeviceCodes } from './schema/oauth.ts'
import { loginTokens, refreshTokens, sessions } from './schema/sessions.ts'
import { users } from './schema/users.ts'
import { tokenHash } from './secret-token.ts'
import { cachedSession, cacheSession, changingSessions, sessionEpoch } from './session-cache.ts'

/**
 * The session of an access token, in one query. 401 M_UNKNOWN_TOKEN for a token that is unknown or has expired,
 * 401 M_USER_LOCKED for a locked account unless `allowLocked`.
 */
export async function findSession(
  env: Env,
  token: string,
  options: { allowLocked?: boolean } = {},
): Promise<DeviceSession> {
  const hash = tokenHash(token)
  const known = cachedSession(hash)
  if (known) return known
  const lookedUpAt = sessionEpoch()
  const row = await database(env)
    .select({ session: sessions, user: users })
    .from(sessions)
    .innerJoin(users, eq(users.userId, sessions.userId))
    .where(eq(sessions.tokenHash, hash))
    .get()
  if (!row || row.user.deactivatedAt !== null) throw unknownToken('Unknown access token')
  const { session, user } = row
  // Only sessions that can be refreshed expire: the device and what the client stores for it live on.
  if (session.expiresAt !== null && session.expiresAt <= Date.now()) {
    throw unknownToken('The access token has expired', true)
  }
  if (user.locked && !options.allowLocked) throw userLocked()
  if (session.supersedes !== null) await confirmRefresh(env, session, session.supersedes)
  const found: DeviceSession = {
    userId: user.userId,
    device: { deviceId: session.deviceId, generation: session.generation },
    shard: user.shard,
    guest: user.guest,
    admin: user.admin,
    suspended: user.suspended,
    ...(session.clientId === null ? {} : { oauthClient: session.clientId }),
  }
  if (!user.locked) cacheSession(env, lookedUpAt, hash, found, session.expiresAt)
  return found
}

/** 401 M_UNKNOWN_TOKEN. `softLogout`: the device lives on, the client keeps its data. */
export function unknownToken(message: string, softLogout = false): MatrixError {
  return new MatrixError('M_UNKNOWN_TOKEN', 401, message, softLogout ? { soft_logout: true } : {})
}

/** 401 M_USER_LOCKED. Since v1.12: always with soft_logout. */
export function userLocked(): MatrixError {
  return new MatrixError('M_USER_LOCKED', 401, 'This account has been locked', { soft_logout: true })
}

// Since v1.3: the old refresh token is revoked once the new access token is used.
async function confirmRefresh(env: Env, session: typeof sessions.$inferSelect, old: string): Promise<void> {
  const db = database(env)
  const now = Date.now()
  await changingSessions(() =>
    db.batch([
      db.update(refreshTokens).set({ invalidatedAt: now }).where(eq(refreshTokens.tokenHash, old)),
      db.update(sessions).set({ supersedes: null }).where(eq(sessions.tokenHash, session.tokenHash)),
    ]),
  )
}

/** Whose an access or refresh token is and of which device, whether or not it can still be used. Of all users alike. */
export async function sessionOfAnyToken(
  env: Env,
  token: string,
): Promise<{ readonly userId: UserId; readonly deviceId: string; readonly shard: number } | undefined> {
  const hash = tokenHash(token)
  for (const table of [sessions, refreshTokens]) {
    const row = await database(env)
      .select({ userId: users.userId, deviceId: table.deviceId, shard: users.shard })
      .from(table)
      .innerJoin(users, eq(users.userId, table.userId))
      .where(eq(table.tokenHash, hash))
      .get()
    if (row) return row
  }
  return undefined
}

export interface NewSession {
  readonly userId: UserId
  readonly deviceId: string
  readonly generation: number
  readonly tokenHash: string
  readonly expiresAt: number | null
  readonly createdAt: number
  /** Hash of a refresh token, for a client that can refresh. */
  readonly refreshTokenHash?: string
  /** The client of the OAuth 2.0 API that the session is for. */
  readonly oauth?: OauthGrant | undefined
}

/** What a user has agreed to: a client, and the scope it gets. */
export interface OauthGrant {
  readonly clientId: string
  readonly scope: string
}

/** Opens a session. All earlier tokens of the device end with it. */
export async function insertSession(env: Env, session: NewSession): Promise<void> {
  const db = database(env)
  const { refreshTokenHash, oauth, ...access } = session
  const { userId, deviceId, generation, createdAt } = session
  const refresh =
    refreshTokenHash === undefined
      ? []
      : [
          db
            .insert(refreshTokens)
            .values({ tokenHash: refreshTokenHash, userId, deviceId, generation, createdAt, ...oauth }),
        ]
  await changingSessions(() =>
    db.batch([
      ...endingTokens(db, userId, deviceId),
      db.insert(sessions).values({ ...access, clientId: oauth?.clientId ?? null }),
      ...refresh,
    ]),
  )
}

// A device id given again at login takes over: tokens it had before are invalid, and nothing is left of the codes that brought them,
// for who uses one again to end.
function endingTokens(db: ReturnType<typeof database>, userId: UserId, deviceId: string) {
  return [
    db.delete(sessions).where(and(eq(sessions.userId, userId), eq(sessions.deviceId, deviceId))),
    db
      .delete(refreshTokens)
      .where(and(eq(refreshTokens.userId, userId), eq(refreshTokens.deviceId, deviceId))),
    db
      .update(oauthCodes)
      .set({ generation: null })
      .where(
        and(
          eq(oauthCodes.userId, userId),
          eq(oauthCodes.deviceId, deviceId),
          isNotNull(oauthCodes.generation),
        ),
      ),
  ] as const
}

// Leaves room for the user id among D1's 100 parameters.
const devicesPerQuery = 90

/** Ends all sessions of devices: access and refresh tokens; where not only some devices, all else by which somebody gets in. */
export async function endSessions(env: Env, userId: UserId, devices: DeviceSelection): Promise<void> {
  const db = database(env)
  if ('only' in devices) {
    for (let at = 0; at < devices.only.length; at += devicesPerQuery) {
      const ids = devices.only.slice(at, at + devicesPerQuery)
      await changingSessions(() =>
        db.batch([
          db.delete(sessions).where(and(eq(sessions.userId, userId), inArray(sessions.deviceId, ids))),
          db
            .delete(refreshTokens)
            .where(and(eq(refreshTokens.userId, userId), inArray(refreshTokens.deviceId, ids))),
        ]),
      )
    }
    return
  }
  const kept = devices.allBut
  const ofSessions = kept === undefined ? undefined : ne(sessions.deviceId, kept)
  const ofRefreshTokens = kept === undefined ? undefined : ne(refreshTokens.deviceId, kept)
  await changingSessions(() =>
    db.batch([
      db.delete(sessions).where(and(eq(sessions.userId, userId), ofSessions)),
      db.delete(refreshTokens).where(and(eq(refreshTokens.userId, userId), ofRefreshTokens)),
      ...endingGrants(db, userId),
    ]),
  )
}

/** What ends all else by which somebody gets in as a user: what was agreed to, and not taken yet. */
export function endingGrants(db: ReturnType<typeof database>, userId: UserId) {
  return [
    db.delete(loginTokens).where(eq(loginTokens.userId, userId)),
    db.delete(browserSessions).where(eq(browserSessions.userId, userId)),
    db.delete(oauthCodes).where(eq(oauthCodes.userId, userId)),
    db.delete(oauthDeviceCodes).where(eq(oauthDeviceCodes.userId, userId)),
    db.delete(crossSigningResets).where(eq(crossSigningResets.userId, userId)),
  ] as const
}

/** Ends the sessions of one generation of a device. */
export async function endSessionsOfGeneration(
  env: Env,
  userId: UserId,
  device: { readonly deviceId: string; readonly generation: number },
): Promise<void> {
  const db = database(env)
  await changingSessions(() =>
    db.batch([
      db
        .delete(sessions)
        .where(
          and(
            eq(sessions.userId, userId),
            eq(sessions.deviceId, device.deviceId),
            eq(sessions.generation, device.generation),
          ),
        ),
      db
        .delete(refreshTokens)
        .where(
          and(
            eq(refreshTokens.userId, userId),
            eq(refreshTokens.deviceId, device.deviceId),
            eq(refreshTokens.generation, device.generation),
          ),
        ),
    ]),
  )
}
