// Sessions of user-interactive authentication in D1.
// Specification: client-server API, "User-Interactive Authentication API".

import { and, eq, isNull, lt, sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { database } from './database.ts'
import { interactiveAuthSessions as table } from './schema/interactive-auth.ts'
import { newSecretToken } from './secret-token.ts'

/** What a client was asked for when its session was opened. */
export interface Offer {
  /** Lists of stages, to be completed in order. */
  readonly flows: readonly (readonly string[])[]
  /** By stage. */
  readonly params: JsonObject
}

export interface InteractiveAuthSession {
  readonly id: string
  /** Method and path. */
  readonly operation: string
  readonly bodyHash: string
  /** Who must authenticate or, where nobody was named, who did; null as long as neither is known. */
  readonly userId: UserId | null
  readonly offer: Offer
  readonly completed: readonly string[]
  /** What stages keep until the session is used up, by stage. */
  readonly data: JsonObject
}

type NewSession = Pick<InteractiveAuthSession, 'operation' | 'bodyHash' | 'userId' | 'offer'>

/** Opens a session, and forgets those that have expired. */
export async function openInteractiveAuth(
  env: Env,
  request: NewSession,
  lifetimeMs: number,
): Promise<InteractiveAuthSession> {
  const db = database(env)
  const id = newSecretToken()
  const now = Date.now()
  await db.batch([
    db.delete(table).where(lt(table.expiresAt, now)),
    db.insert(table).values({
      ...request,
      sessionId: id,
      offer: JSON.stringify(request.offer),
      expiresAt: now + lifetimeMs,
    }),
  ])
  return { id, ...request, completed: [], data: {} }
}

/** A live session. */
export async function findInteractiveAuth(env: Env, id: string): Promise<InteractiveAuthSession | undefined> {
  const row = await database(env).select().from(table).where(eq(table.sessionId, id)).get()
  if (!row || row.expiresAt <= Date.now()) return undefined
  return {
    id,
    operation: row.operation,
    bodyHash: row.bodyHash,
    userId: row.userId,
    offer: JSON.parse(row.offer) as Offer,
    completed: JSON.parse(row.completed) as string[],
    data: JSON.parse(row.data) as JsonObject,
  }
}

/** Keeps what stages made of a session: those completed, who is asking, and their data. */
export async function keepInteractiveAuth(env: Env, session: InteractiveAuthSession): Promise<void> {
  const { id, completed, data, userId } = session
  await database(env)
    .update(table)
    .set({ completed: JSON.stringify(completed), data: JSON.stringify(data), userId })
    .where(eq(table.sessionId, id))
}

/** Binds a session to another body. Answers false where a stage was completed meanwhile: it stays bound then. */
export async function rebindInteractiveAuth(env: Env, id: string, bodyHash: string): Promise<boolean> {
  const result = await database(env)
    .update(table)
    .set({ bodyHash })
    .where(and(eq(table.sessionId, id), eq(table.completed, '[]'), isNull(table.userId)))
    .run()
  return result.meta.changes > 0
}

/** Uses a session up. Answers false if another request did before. */
export async function useInteractiveAuth(env: Env, id: string): Promise<boolean> {
  const result = await database(env).run(sql`DELETE FROM interactive_auth_sessions WHERE session_id = ${id}`)
  return result.meta.changes > 0
}
