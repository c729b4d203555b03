// Sign-ins on their way, in D1: from sending the browser to the provider until its user has gone on to the client.
// Specification: client-server API, "SSO client login/authentication".

import { and, eq, gt, lt } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database } from './database.ts'
import { ssoAttempts as table } from './schema/single-sign-on.ts'

export type SsoAttempt = typeof table.$inferSelect

const lifetimeMs = 15 * 60 * 1000

export type NewSsoAttempt = Pick<
  SsoAttempt,
  'id' | 'browser' | 'provider' | 'nonce' | 'codeVerifier' | 'redirectUrl' | 'action' | 'authSession'
>

/** Adds an attempt, and forgets those that have expired. */
export async function insertSsoAttempt(env: Env, attempt: NewSsoAttempt): Promise<void> {
  const db = database(env)
  const now = Date.now()
  await db.batch([
    db.delete(table).where(lt(table.expiresAt, now)),
    db.insert(table).values({ ...attempt, expiresAt: now + lifetimeMs }),
  ])
}

/** A live attempt. */
export async function findSsoAttempt(env: Env, id: string): Promise<SsoAttempt | undefined> {
  return await database(env)
    .select()
    .from(table)
    .where(and(eq(table.id, id), gt(table.expiresAt, Date.now())))
    .get()
}

/** Takes the provider's answer to an attempt. False where another request did before. */
export async function answerSsoAttempt(env: Env, id: string): Promise<boolean> {
  const result = await database(env)
    .update(table)
    .set({ answered: true })
    .where(and(eq(table.id, id), eq(table.answered, false)))
    .run()
  return result.meta.changes > 0
}

/** Who an attempt has turned out to be: an account, or what one is made of, as JSON. */
export type SsoIdentity = { readonly userId: UserId } | { readonly identity: string }

/**
 * Keeps who an attempt has turned out to be, and gives them time for what is still to be asked. `browser`: the hash of another
 * cookie than it had.
 */
export async function keepSsoIdentity(
  env: Env,
  id: string,
  identity: SsoIdentity,
  browser?: string,
): Promise<void> {
  await database(env)
    .update(table)
    .set({ ...identity, ...(browser === undefined ? {} : { browser }), expiresAt: Date.now() + lifetimeMs })
    .where(eq(table.id, id))
}

/** Uses an attempt up. False where another request did before. */
export async function useSsoAttempt(env: Env, id: string): Promise<boolean> {
  const result = await database(env).delete(table).where(eq(table.id, id)).run()
  return result.meta.changes > 0
}
