// Refresh tokens: rotated on each use. Specification: client-server API, "Refreshing access tokens".

import { eq, type SQL, sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database, statement } from './database.ts'
import { refreshTokens } from './schema/sessions.ts'
import { users } from './schema/users.ts'
import { tokenHash } from './secret-token.ts'
import { changingSessions } from './session-cache.ts'
import { unknownToken, userLocked } from './sessions.ts'

type RefreshToken = typeof refreshTokens.$inferSelect

// How long an invalidated refresh token is remembered, so that its reuse is noticed.
const reuseWatchMs = 7 * 24 * 60 * 60 * 1000
// How long an access token that has expired is: a request on its way with it is told of a soft logout, not of an end.
const expiredWatchMs = 24 * 60 * 60 * 1000

export interface Successor {
  readonly accessTokenHash: string
  readonly refreshTokenHash: string
  readonly expiresAt: number
  readonly now: number
}

/** The client of the OAuth 2.0 API that refreshes. */
export interface RefreshingClient {
  readonly clientId: string
  /** Throws where it asks for more than what was agreed to: then nothing changes. */
  readonly checkScope: (granted: string) => void
}

export type Rotation =
  | { readonly outcome: 'rotated'; readonly scope: string | null }
  /** The token was replaced, and its successor used: one of two who had it is not the client, and nobody knows which. */
  | ({ readonly outcome: 'reused' } & OwnedDevice)

/** A device, and whose it is. */
interface OwnedDevice {
  readonly userId: UserId
  readonly shard: number
  readonly deviceId: string
  readonly generation: number
}

/**
 * Stores the successors of a refresh token of a client of the OAuth 2.0 API, or of the legacy API where there is no `client`:
 * neither takes the other's. The token itself stays usable until one of them is used, for a client that has not got the answer;
 * those of earlier answers end. All or nothing is written: after a crash, too, the old token or the new ones work. 401
 * M_UNKNOWN_TOKEN, M_USER_LOCKED.
 */
export async function rotateRefreshToken(
  env: Env,
  token: string,
  next: Successor,
  client?: RefreshingClient,
): Promise<Rotation> {
  const hash = tokenHash(token)
  const row = await database(env)
    .select({ token: refreshTokens, user: users })
    .from(refreshTokens)
    .innerJoin(users, eq(users.userId, refreshTokens.userId))
    .where(eq(refreshTokens.tokenHash, hash))
    .get()
  if (!row || row.user.deactivatedAt !== null) throw unknownToken('Unknown refresh token')
  const { userId, deviceId, generation, clientId, scope, invalidatedAt } = row.token
  if (clientId !== (client?.clientId ?? null)) throw unknownToken('Unknown refresh token')
  if (row.user.locked) throw userLocked()
  if (invalidatedAt !== null) {
    return { outcome: 'reused', userId, shard: row.user.shard, deviceId, generation }
  }
  client?.checkScope(scope ?? '')
  const [, , inserted] = await changingSessions(() =>
    env.DB.batch(rotation(row.token, next).map((query) => statement(env, query))),
  )
  if ((inserted?.meta.changes ?? 0) === 0) throw unknownToken('Unknown refresh token')
  return { outcome: 'rotated', scope }
}

function rotation({ tokenHash: hash, userId, deviceId, supersedes }: RefreshToken, next: Successor): SQL[] {
  const { accessTokenHash, refreshTokenHash, expiresAt, now } = next
  // A logout meanwhile has deleted the token: its successors must not appear.
  const usable = sql`FROM refresh_tokens WHERE token_hash = ${hash} AND invalidated_at IS NULL`
  const ofDevice = sql`user_id = ${userId} AND device_id = ${deviceId}`
  const earlier = sql`${ofDevice} AND supersedes = ${hash} AND EXISTS (SELECT 1 ${usable})`
  return [
    // Two sessions by one token would go on side by side, one of them a thief's.
    sql`DELETE FROM sessions WHERE ${earlier}`,
    sql`UPDATE refresh_tokens SET invalidated_at = ${now} WHERE ${earlier} AND invalidated_at IS NULL`,
    sql`
      INSERT INTO sessions (token_hash, user_id, device_id, generation, created_at, expires_at, supersedes, client_id)
      SELECT ${accessTokenHash}, user_id, device_id, generation, ${now}, ${expiresAt}, ${hash}, client_id ${usable}`,
    sql`
      INSERT INTO refresh_tokens (token_hash, user_id, device_id, generation, created_at, supersedes, client_id, scope)
      SELECT ${refreshTokenHash}, user_id, device_id, generation, ${now}, ${hash}, client_id, scope ${usable}`,
    // Since v1.3: the use of a new refresh token revokes the one before it.
    sql`UPDATE refresh_tokens SET invalidated_at = ${now} WHERE token_hash = ${supersedes}`,
    sql`UPDATE refresh_tokens SET supersedes = NULL WHERE token_hash = ${hash}`,
    // However often somebody refreshes, there is no more of it than this.
    sql`DELETE FROM sessions WHERE ${ofDevice} AND expires_at < ${now - expiredWatchMs}`,
    sql`DELETE FROM refresh_tokens WHERE ${ofDevice} AND invalidated_at < ${now - reuseWatchMs}`,
  ]
}
