// Which account the users of identity providers have, in D1. Who is deactivated keeps the link: nobody gets a second account by it.
// Specification: client-server API, "Handling the callback from the Authentication server".

import { and, eq, sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database, isUniqueViolation, statement } from './database.ts'
import { ssoLinks } from './schema/single-sign-on.ts'
import type { AcceptedPolicy, NewUser } from './users.ts'

/** Whose a provider's user is here. */
export async function linkedUser(env: Env, provider: string, subject: string): Promise<UserId | undefined> {
  const row = await database(env)
    .select({ userId: ssoLinks.userId })
    .from(ssoLinks)
    .where(and(eq(ssoLinks.provider, provider), eq(ssoLinks.subject, subject)))
    .get()
  return row?.userId
}

/** The ids of the providers that a user is linked with. */
export async function linkedProviders(env: Env, userId: UserId): Promise<string[]> {
  const rows = await database(env)
    .select({ provider: ssoLinks.provider })
    .from(ssoLinks)
    .where(eq(ssoLinks.userId, userId))
    .orderBy(ssoLinks.provider)
  return rows.map(({ provider }) => provider)
}

/** Links an account that there is. False where it is another user of the provider already, or that one has another account. */
export async function linkUser(
  env: Env,
  provider: string,
  subject: string,
  userId: UserId,
): Promise<boolean> {
  try {
    await database(env).insert(ssoLinks).values({ provider, subject, userId, linkedAt: Date.now() })
    return true
  } catch (error) {
    if (isUniqueViolation(error)) return false
    throw error
  }
}

/** What single sign-on brings of a new user. */
export interface LinkedRegistration {
  readonly provider: string
  readonly subject: string
  readonly displayName: string | undefined
  /** A verified address in canonical form. The account does not get it where it has one already. */
  readonly email: string | undefined
  readonly policies: readonly AcceptedPolicy[]
}

/** Adds a user with their link, profile, address and what they accepted, in one transaction. */
export async function insertLinkedUser(
  env: Env,
  { userId, shard, createdAt }: Pick<NewUser, 'userId' | 'shard' | 'createdAt'>,
  { provider, subject, displayName, email, policies }: LinkedRegistration,
): Promise<'created' | 'user-in-use'> {
  const statements = [
    sql`
      INSERT INTO sso_links (provider, subject, user_id, linked_at) VALUES (${provider}, ${subject}, ${userId}, ${createdAt})`,
    sql`INSERT INTO users (user_id, shard, created_at) VALUES (${userId}, ${shard}, ${createdAt})`,
    sql`INSERT INTO profiles (user_id, displayname) VALUES (${userId}, ${displayName ?? null})`,
    ...policies.map(
      ({ policyId, version }) => sql`
        INSERT INTO accepted_policies (user_id, policy_id, version, accepted_at)
        VALUES (${userId}, ${policyId}, ${version}, ${createdAt})`,
    ),
    ...(email === undefined
      ? []
      : [
          sql`
            INSERT OR IGNORE INTO threepids (medium, address, user_id, validated_at, added_at)
            VALUES ('email', ${email}, ${userId}, ${createdAt}, ${createdAt})`,
        ]),
  ]
  try {
    await env.DB.batch(statements.map((query) => statement(env, query)))
    return 'created'
  } catch (error) {
    // So it is as well where the provider's user has another account already.
    if (isUniqueViolation(error)) return 'user-in-use'
    throw error
  }
}
