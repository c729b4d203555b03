// Refresh tokens: rotated on each use. Specification: client-server API, "Refreshing access tokens".

import { eq, sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import { database, statement } from './database.ts'
import { refreshTokens } from './schema/sessions.ts'
import { users } from './schema/users.ts'
import { tokenHash } from './secret-token.ts'
import { changingSessions } from './session-cache.ts'
import { endSessionsOfGeneration, unknownToken, userLocked } from './sessions.ts'

export interface Successor {
  readonly accessTokenHash: string
  readonly refreshTokenHash: string
  readonly expiresAt: number
  readonly now: number
}

/**
 * Stores the successors of a refresh token of a client of the OAuth 2.0 API, or of the legacy API where `clientId` is undefined:
 * neither takes the other's. Answers the scope that was agreed to, null for the legacy API. The token itself stays usable until one of them is used. 401
 * M_UNKNOWN_TOKEN for a token that is unknown, or invalidated: then somebody else may hold it, and all tokens of the
 * device end.
 */
export async function rotateRefreshToken(
  env: Env,
  token: string,
  next: Successor,
  clientId?: string,
): Promise<string | null> {
  const hash = tokenHash(token)
  const row = await database(env)
    .select({ token: refreshTokens, user: users })
    .from(refreshTokens)
    .innerJoin(users, eq(users.userId, refreshTokens.userId))
    .where(eq(refreshTokens.tokenHash, hash))
    .get()
  if (!row || row.user.deactivatedAt !== null) throw unknownToken('Unknown refresh token')
  if (row.token.clientId !== (clientId ?? null)) throw unknownToken('Unknown refresh token')
  if (row.user.locked) throw userLocked()
  const { userId, deviceId, generation, invalidatedAt, supersedes } = row.token
  if (invalidatedAt !== null) {
    await endSessionsOfGeneration(env, userId, { deviceId, generation })
    throw unknownToken('The refresh token has been used before', true)
  }
  // A logout meanwhile has deleted the token: its successors must not appear.
  const usable = sql`FROM refresh_tokens WHERE token_hash = ${hash} AND invalidated_at IS NULL`
  const statements = [
    sql`
      INSERT INTO sessions (token_hash, user_id, device_id, generation, created_at, expires_at, supersedes, client_id)
      SELECT ${next.accessTokenHash}, user_id, device_id, generation, ${next.now}, ${next.expiresAt}, ${hash}, client_id ${usable}`,
    sql`
      INSERT INTO refresh_tokens (token_hash, user_id, device_id, generation, created_at, supersedes, client_id, scope)
      SELECT ${next.refreshTokenHash}, user_id, device_id, generation, ${next.now}, ${hash}, client_id, scope ${usable}`,
    // Since v1.3: the use of a new refresh token revokes the one before it.
    sql`UPDATE refresh_tokens SET invalidated_at = ${next.now} WHERE token_hash = ${supersedes}`,
    sql`UPDATE refresh_tokens SET supersedes = NULL WHERE token_hash = ${hash}`,
  ]
  const [inserted] = await changingSessions(() =>
    env.DB.batch(statements.map((query) => statement(env, query))),
  )
  if ((inserted?.meta.changes ?? 0) === 0) throw unknownToken('Unknown refresh token')
  return row.token.scope
}
