// Previews of web pages in D1. Each is kept for a while after it has expired, for clients that show old messages.

import { and, desc, eq, gt, lt, lte } from 'drizzle-orm'
import type { Env } from '../env.ts'
import { database } from './database.ts'
import { urlPreviews } from './schema/url-previews.ts'

export type UrlPreview = typeof urlPreviews.$inferSelect

/** The preview of a page that held at a time, in milliseconds. */
export async function findUrlPreview(env: Env, page: string, at: number): Promise<UrlPreview | undefined> {
  return await database(env)
    .select()
    .from(urlPreviews)
    .where(and(eq(urlPreviews.page, page), lte(urlPreviews.fetchedAt, at), gt(urlPreviews.expiresAt, at)))
    .orderBy(desc(urlPreviews.fetchedAt))
    .limit(1)
    .get()
}

/** Adds a preview. */
export async function addUrlPreview(env: Env, preview: UrlPreview): Promise<void> {
  await database(env).insert(urlPreviews).values(preview).onConflictDoNothing()
}

/** Forgets previews of before a time. Reads all rows: an index would cost one more with each write. */
export async function forgetUrlPreviews(env: Env, before: number): Promise<void> {
  await database(env).delete(urlPreviews).where(lt(urlPreviews.fetchedAt, before))
}
