// Media of local users in D1: what it is and where its content lies in R2.

import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database, statement } from './database.ts'
import { media } from './schema/media.ts'

export type Media = typeof media.$inferSelect

/** The content of a media id, once it is stored. */
export interface StoredContent {
  /** Key in R2. */
  readonly object: string
  readonly contentType: string
  readonly filename: string | null
  /** In bytes. */
  readonly size: number
}

/** The row of a media id, with or without content. */
export async function findMedia(env: Env, mediaId: string): Promise<Media | undefined> {
  return await database(env).select().from(media).where(eq(media.mediaId, mediaId)).get()
}

/** Adds media that is already in R2. */
export async function addMedia(
  env: Env,
  id: { readonly mediaId: string; readonly userId: UserId; readonly createdAt: number },
  content: StoredContent,
): Promise<void> {
  await database(env)
    .insert(media)
    .values({ ...id, ...content })
}

/**
 * Reserves a media id for a later upload. Expired ones of the user are forgotten first.
 * False when the user has `limit` or more of them waiting.
 */
export async function addPendingMedia(
  env: Env,
  id: {
    readonly mediaId: string
    readonly userId: UserId
    readonly createdAt: number
    readonly expiresAt: number
  },
  limit: number,
): Promise<boolean> {
  const { mediaId, userId, createdAt, expiresAt } = id
  const [, inserted] = await env.DB.batch([
    statement(
      env,
      sql`DELETE FROM media WHERE user_id = ${userId} AND object IS NULL AND expires_at <= ${createdAt}`,
    ),
    statement(
      env,
      sql`INSERT INTO media (media_id, user_id, created_at, expires_at)
          SELECT ${mediaId}, ${userId}, ${createdAt}, ${expiresAt}
          WHERE (SELECT count(*) FROM media WHERE user_id = ${userId} AND object IS NULL) < ${limit}`,
    ),
  ])
  return inserted?.meta.changes !== 0
}

/** Gives a reserved media id its content. False when another upload was first. */
export async function fillPendingMedia(env: Env, mediaId: string, content: StoredContent): Promise<boolean> {
  const filled = await database(env)
    .update(media)
    .set({ ...content, expiresAt: null })
    .where(and(eq(media.mediaId, mediaId), isNull(media.object)))
    .returning({ mediaId: media.mediaId })
  return filled.length === 1
}
