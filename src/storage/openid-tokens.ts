// Tokens by which a user proves to others who they are, and nothing else. Stored as hashes.
// Specification: client-server API, "OpenID"; server-server API, "OpenID".

import { and, eq, gt, isNull, lt } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database } from './database.ts'
import { openidTokens } from './schema/openid.ts'
import { users } from './schema/users.ts'
import { newSecretToken, tokenHash } from './secret-token.ts'

/** A new token of a user, valid until `expiresAt` (ms). */
export async function createOpenidToken(env: Env, userId: UserId, expiresAt: number): Promise<string> {
  const db = database(env)
  const token = newSecretToken()
  await db.batch([
    db.delete(openidTokens).where(lt(openidTokens.expiresAt, Date.now())),
    db.insert(openidTokens).values({ tokenHash: tokenHash(token), userId, expiresAt }),
  ])
  return token
}

/** Whose a token is; undefined for one that is unknown or expired, or of a user who was deactivated. */
export async function userOfOpenidToken(env: Env, token: string): Promise<UserId | undefined> {
  const row = await database(env)
    .select({ userId: openidTokens.userId })
    .from(openidTokens)
    .innerJoin(users, eq(users.userId, openidTokens.userId))
    .where(
      and(
        eq(openidTokens.tokenHash, tokenHash(token)),
        gt(openidTokens.expiresAt, Date.now()),
        isNull(users.deactivatedAt),
      ),
    )
    .get()
  return row?.userId
}
