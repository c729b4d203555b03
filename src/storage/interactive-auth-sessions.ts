// Sessions of user-interactive authentication in D1.
// Specification: client-server API, "User-Interactive Authentication API".

import { eq, lt, sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database } from './database.ts'
import { interactiveAuthSessions as table } from './schema/interactive-auth.ts'
import { newSecretToken } from './secret-token.ts'

const lifetimeMs = 15 * 60 * 1000

export interface InteractiveAuthSession {
  readonly id: string
  /** Method and path. */
  readonly operation: string
  readonly bodyHash: string
  /** Who must authenticate or, where nobody was named, who did; null as long as neither is known. */
  readonly userId: UserId | null
  readonly completed: readonly string[]
}

/** Opens a session, and forgets those that have expired. */
export async function openInteractiveAuth(
  env: Env,
  request: Pick<InteractiveAuthSession, 'operation' | 'bodyHash' | 'userId'>,
): Promise<InteractiveAuthSession> {
  const db = database(env)
  const id = newSecretToken()
  const now = Date.now()
  await db.batch([
    db.delete(table).where(lt(table.expiresAt, now)),
    db.insert(table).values({ sessionId: id, ...request, expiresAt: now + lifetimeMs }),
  ])
  return { id, ...request, completed: [] }
}

/** A live session. */
export async function findInteractiveAuth(env: Env, id: string): Promise<InteractiveAuthSession | undefined> {
  const row = await database(env).select().from(table).where(eq(table.sessionId, id)).get()
  if (!row || row.expiresAt <= Date.now()) return undefined
  const completed: unknown = JSON.parse(row.completed)
  return {
    id,
    operation: row.operation,
    bodyHash: row.bodyHash,
    userId: row.userId,
    completed: Array.isArray(completed) ? completed.filter((stage) => typeof stage === 'string') : [],
  }
}

/** Records that a stage was completed, and by whom where that was open. */
export async function completeStage(
  env: Env,
  session: InteractiveAuthSession,
  stage: string,
  userId: UserId | null,
): Promise<InteractiveAuthSession> {
  const completed = [...session.completed, stage]
  await database(env)
    .update(table)
    .set({ completed: JSON.stringify(completed), userId })
    .where(eq(table.sessionId, session.id))
  return { ...session, completed, userId }
}

/** Binds a session without completed stages to another body. */
export async function rebindInteractiveAuth(env: Env, id: string, bodyHash: string): Promise<void> {
  await database(env).update(table).set({ bodyHash }).where(eq(table.sessionId, id))
}

/** Uses a session up. Answers false if another request did before. */
export async function useInteractiveAuth(env: Env, id: string): Promise<boolean> {
  const result = await database(env).run(sql`DELETE FROM interactive_auth_sessions WHERE session_id = ${id}`)
  return result.meta.changes > 0
}
