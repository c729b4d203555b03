// Short-lived tokens for a single login. Specification: client-server API, POST /login/get_token.

import { eq, lt } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database } from './database.ts'
import { loginTokens } from './schema/sessions.ts'
import { newSecretToken, tokenHash } from './secret-token.ts'

/** A new login token of a user, valid until `expiresAt`. */
export async function createLoginToken(env: Env, userId: UserId, expiresAt: number): Promise<string> {
  const db = database(env)
  const token = newSecretToken()
  await db.batch([
    db.delete(loginTokens).where(lt(loginTokens.expiresAt, Date.now())),
    db.insert(loginTokens).values({ tokenHash: tokenHash(token), userId, expiresAt }),
  ])
  return token
}

/** Uses a login token up. Answers whose it is, undefined for one that is unknown, used or expired. */
export async function useLoginToken(env: Env, token: string): Promise<UserId | undefined> {
  const [row] = await database(env)
    .delete(loginTokens)
    .where(eq(loginTokens.tokenHash, tokenHash(token)))
    .returning()
  return row !== undefined && row.expiresAt > Date.now() ? row.userId : undefined
}
