// Users who have agreed on the account page that a client replaces their cross-signing keys, in D1: once, and soon.
// Specification: client-server API, "OAuth authentication" (MSC4312).

import { eq, lt, sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database } from './database.ts'
import { crossSigningResets as table } from './schema/oauth.ts'

const lifetimeMs = 10 * 60 * 1000

/** Notes that a user has agreed, and forgets those who did long ago. */
export async function allowCrossSigningReset(env: Env, userId: UserId): Promise<void> {
  const db = database(env)
  const now = Date.now()
  await db.batch([
    db.delete(table).where(lt(table.expiresAt, now)),
    db
      .insert(table)
      .values({ userId, expiresAt: now + lifetimeMs })
      .onConflictDoUpdate({ target: table.userId, set: { expiresAt: sql`excluded.expires_at` } }),
  ])
}

/** Uses up what a user has agreed to. False where there is nothing, or it was too long ago. */
export async function useCrossSigningReset(env: Env, userId: UserId): Promise<boolean> {
  const [row] = await database(env).delete(table).where(eq(table.userId, userId)).returning()
  return row !== undefined && row.expiresAt > Date.now()
}
