// Authorization codes in D1. Specification: client-server API, "Authorisation code flow"; RFC 6749, sections 4.1.2 and 10.5.

import { and, eq, lt } from 'drizzle-orm'
import type { Env } from '../env.ts'
import { database } from './database.ts'
import { oauthCodes as table } from './schema/oauth.ts'

export type OauthCode = typeof table.$inferSelect

const lifetimeMs = 60_000
// How long a code is remembered after that, so that its use a second time is noticed.
const watchMs = 60 * 60 * 1000

type NewCode = Pick<
  OauthCode,
  'codeHash' | 'clientId' | 'userId' | 'redirectUri' | 'codeChallenge' | 'scope' | 'deviceId'
>

/** Adds a code, and forgets old ones. */
export async function insertCode(env: Env, code: NewCode): Promise<void> {
  const db = database(env)
  const now = Date.now()
  await db.batch([
    db.delete(table).where(lt(table.expiresAt, now - watchMs)),
    db.insert(table).values({ ...code, expiresAt: now + lifetimeMs }),
  ])
}

/** Takes a code. `replayed`: it was taken before. Undefined for one that there is not, or not any more. */
export async function takeCode(
  env: Env,
  codeHash: string,
): Promise<{ readonly code: OauthCode; readonly replayed: boolean } | undefined> {
  const db = database(env)
  const [taken] = await db
    .update(table)
    .set({ taken: true })
    .where(and(eq(table.codeHash, codeHash), eq(table.taken, false)))
    .returning()
  if (taken) return taken.expiresAt > Date.now() ? { code: taken, replayed: false } : undefined
  const [code] = await db
    .update(table)
    .set({ replayed: true })
    .where(eq(table.codeHash, codeHash))
    .returning()
  return code && { code, replayed: true }
}

/** Notes what was made of a code. False where it was taken once more meanwhile: then that must not last. */
export async function noteIssued(env: Env, codeHash: string, generation: number): Promise<boolean> {
  const result = await database(env)
    .update(table)
    .set({ generation })
    .where(and(eq(table.codeHash, codeHash), eq(table.replayed, false)))
    .run()
  return result.meta.changes > 0
}
