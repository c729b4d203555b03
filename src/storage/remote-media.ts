// Media of other servers in D1: what is kept of it here, and when it was last asked for.

import { and, asc, eq, isNotNull, lt, sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { ServerName } from '../matrix/event.ts'
import { database, statement } from './database.ts'
import type { StoredContent } from './media.ts'
import { remoteMedia } from './schema/remote-media.ts'

export interface RemoteMediaKey {
  readonly serverName: ServerName
  readonly mediaId: string
  /** Empty for the content, otherwise the name of a thumbnail that the other server made. */
  readonly variant: string
}

export type RemoteMedia = typeof remoteMedia.$inferSelect
export type KeptRemoteMedia = RemoteMedia & { readonly object: string }

/** What is kept of some media. */
export async function findRemoteMedia(env: Env, key: RemoteMediaKey): Promise<RemoteMedia | undefined> {
  return await database(env).select().from(remoteMedia).where(isKey(key)).get()
}

/** Adds media that is already in R2. False when another request was first: then that one's content stays. */
export async function addRemoteMedia(
  env: Env,
  key: RemoteMediaKey,
  content: StoredContent,
  usedAt: number,
): Promise<boolean> {
  const added = await database(env)
    .insert(remoteMedia)
    .values({ ...key, ...content, usedAt })
    .onConflictDoUpdate({
      target: [remoteMedia.serverName, remoteMedia.mediaId, remoteMedia.variant],
      set: { ...content, usedAt },
      setWhere: sql`remote_media.object IS NULL`,
    })
    .returning({ mediaId: remoteMedia.mediaId })
  return added.length === 1
}

/** Notes that media is larger than `limit` bytes, so that it is not asked for again. */
export async function noteTooLarge(env: Env, key: RemoteMediaKey, limit: number, now: number): Promise<void> {
  await database(env)
    .insert(remoteMedia)
    .values({ ...key, object: null, contentType: '', size: limit, usedAt: now })
    .onConflictDoUpdate({
      target: [remoteMedia.serverName, remoteMedia.mediaId, remoteMedia.variant],
      set: { size: limit, usedAt: now },
      setWhere: sql`remote_media.object IS NULL`,
    })
}

/** Notes when media was asked for. */
export async function touchRemoteMedia(env: Env, key: RemoteMediaKey, usedAt: number): Promise<void> {
  await database(env).update(remoteMedia).set({ usedAt }).where(isKey(key))
}

/** Forgets media, unless it has got another object since. */
export async function forgetRemoteMedia(env: Env, media: readonly RemoteMedia[]): Promise<void> {
  if (media.length === 0) return
  await env.DB.batch(
    media.map(({ serverName, mediaId, variant, object }) =>
      statement(
        env,
        sql`DELETE FROM remote_media WHERE server_name = ${serverName} AND media_id = ${mediaId}
            AND variant = ${variant} AND object IS ${object}`,
      ),
    ),
  )
}

/** How many bytes all of it takes. Reads all rows. */
export async function remoteMediaBytes(env: Env): Promise<number> {
  const row = await database(env)
    .select({ bytes: sql<number>`coalesce(sum(${remoteMedia.size}), 0)` })
    .from(remoteMedia)
    .where(isNotNull(remoteMedia.object))
    .get()
  return row?.bytes ?? 0
}

/** What was not asked for the longest, last before a time. Reads all rows: an index would cost one more with each write. */
export async function leastUsedRemoteMedia(env: Env, before: number, limit: number): Promise<RemoteMedia[]> {
  return await database(env)
    .select()
    .from(remoteMedia)
    .where(lt(remoteMedia.usedAt, before))
    .orderBy(asc(remoteMedia.usedAt))
    .limit(limit)
}

function isKey({ serverName, mediaId, variant }: RemoteMediaKey) {
  return and(
    eq(remoteMedia.serverName, serverName),
    eq(remoteMedia.mediaId, mediaId),
    eq(remoteMedia.variant, variant),
  )
}
