// Whether accounts exist and are in use, for those who are allowed to know no more. Unstable: MSC3720.

import { inArray } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database } from './database.ts'
import { users } from './schema/users.ts'

export type AccountStatus =
  | { readonly exists: false }
  | { readonly exists: true; readonly deactivated: boolean }

// D1 takes at most 100 parameters in a query.
const parametersPerQuery = 100

/** The status of each of some local users, in the order given. */
export async function findAccountStatuses(
  env: Env,
  userIds: readonly UserId[],
): Promise<Map<UserId, AccountStatus>> {
  const statuses = new Map<UserId, AccountStatus>(userIds.map((userId) => [userId, { exists: false }]))
  for (let start = 0; start < userIds.length; start += parametersPerQuery) {
    const rows = await database(env)
      .select({ userId: users.userId, deactivatedAt: users.deactivatedAt })
      .from(users)
      .where(inArray(users.userId, userIds.slice(start, start + parametersPerQuery)))
    for (const { userId, deactivatedAt } of rows) {
      statuses.set(userId, { exists: true, deactivated: deactivatedAt !== null })
    }
  }
  return statuses
}
