// Third-party identifiers that users have added to their accounts.
// Specification: client-server API, "Adding Account Administrative Contact Information".

import { and, asc, eq } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database } from './database.ts'
import { threepids } from './schema/threepids.ts'

export type Threepid = typeof threepids.$inferSelect

/** A user's identifiers, those added first at the beginning. */
export async function threepidsOf(env: Env, userId: UserId): Promise<Threepid[]> {
  return await database(env)
    .select()
    .from(threepids)
    .where(eq(threepids.userId, userId))
    .orderBy(asc(threepids.addedAt), asc(threepids.address))
}

/** Whose an identifier in canonical form is. */
export async function threepidOwner(
  env: Env,
  medium: Threepid['medium'],
  address: string,
): Promise<UserId | undefined> {
  const row = await database(env)
    .select({ userId: threepids.userId })
    .from(threepids)
    .where(and(eq(threepids.medium, medium), eq(threepids.address, address)))
    .get()
  return row?.userId
}

/** Takes an identifier from a user. */
export async function removeThreepid(
  env: Env,
  userId: UserId,
  medium: Threepid['medium'],
  address: string,
): Promise<void> {
  await database(env)
    .delete(threepids)
    .where(and(eq(threepids.medium, medium), eq(threepids.address, address), eq(threepids.userId, userId)))
}
