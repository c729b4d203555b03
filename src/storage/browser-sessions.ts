// Browsers that somebody has signed in with on this server's own pages, in D1. Specification: client-server API, "OAuth 2.0 API".

import { and, eq, gt, lt, or } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database } from './database.ts'
import { browserSessions as table } from './schema/oauth.ts'
import { users } from './schema/users.ts'
import type { User } from './users.ts'

// How long somebody stays signed in: about as long as it takes to let an application in.
const browserSessionLifetimeMs = 15 * 60 * 1000

/** Signs a user in with the browser that has a cookie, `instead` of the one it had before, and forgets those whose time is over. */
export async function insertBrowserSession(
  env: Env,
  cookieHash: string,
  { userId, instead }: { readonly userId: UserId; readonly instead: string },
): Promise<void> {
  const db = database(env)
  const now = Date.now()
  await db.batch([
    db.delete(table).where(or(lt(table.expiresAt, now), eq(table.cookieHash, instead))),
    db.insert(table).values({ cookieHash, userId, expiresAt: now + browserSessionLifetimeMs }),
  ])
}

/** Who is signed in with the browser that has a cookie. Undefined also where their account was locked or ended meanwhile. */
export async function browserUser(env: Env, cookieHash: string): Promise<User | undefined> {
  const row = await database(env)
    .select({ user: users })
    .from(table)
    .innerJoin(users, eq(users.userId, table.userId))
    .where(and(eq(table.cookieHash, cookieHash), gt(table.expiresAt, Date.now())))
    .get()
  return row && !row.user.locked && row.user.deactivatedAt === null ? row.user : undefined
}

/** Signs a browser out. */
export async function endBrowserSession(env: Env, cookieHash: string): Promise<void> {
  await database(env).delete(table).where(eq(table.cookieHash, cookieHash))
}

/** Signs a user out of all browsers. */
export async function endBrowserSessionsOf(env: Env, userId: UserId): Promise<void> {
  await database(env).delete(table).where(eq(table.userId, userId))
}
