// Local users as rooms need them: where their Hub is, and what their member events say about them.

import { and, eq, inArray, isNull } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { database } from './database.ts'
import { profiles } from './schema/profiles.ts'
import { users } from './schema/users.ts'

export interface LocalMember {
  readonly userId: UserId
  /** The Hub shard of the user. */
  readonly shard: number
  /** `displayname` and `avatar_url` as far as the user has them. */
  readonly profile: JsonObject
}

// D1 takes at most 100 parameters in a query.
const parametersPerQuery = 100

/** Those of some users who exist here and are not deactivated. */
export async function findLocalMembers(
  env: Env,
  userIds: readonly UserId[],
): Promise<Map<UserId, LocalMember>> {
  const found = new Map<UserId, LocalMember>()
  for (let start = 0; start < userIds.length; start += parametersPerQuery) {
    const rows = await database(env)
      .select({
        userId: users.userId,
        shard: users.shard,
        displayname: profiles.displayname,
        avatarUrl: profiles.avatarUrl,
      })
      .from(users)
      .leftJoin(profiles, eq(profiles.userId, users.userId))
      .where(
        and(
          inArray(users.userId, userIds.slice(start, start + parametersPerQuery)),
          isNull(users.deactivatedAt),
        ),
      )
    for (const { userId, shard, displayname, avatarUrl } of rows) {
      found.set(userId, {
        userId,
        shard,
        profile: {
          ...(displayname === null ? {} : { displayname }),
          ...(avatarUrl === null ? {} : { avatar_url: avatarUrl }),
        },
      })
    }
  }
  return found
}

/** Those of some users who are guests. */
export async function guestsAmong(env: Env, userIds: readonly UserId[]): Promise<UserId[]> {
  const guests: UserId[] = []
  for (let start = 0; start < userIds.length; start += parametersPerQuery) {
    const rows = await database(env)
      .select({ userId: users.userId })
      .from(users)
      .where(
        and(inArray(users.userId, userIds.slice(start, start + parametersPerQuery)), eq(users.guest, true)),
      )
    guests.push(...rows.map(({ userId }) => userId))
  }
  return guests
}
