// Local users in D1.

import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { UserId } from '../matrix/event.ts'
import { database, isUniqueViolation, statement } from './database.ts'
import { profiles } from './schema/profiles.ts'
import { refreshTokens, sessions } from './schema/sessions.ts'
import { threepids } from './schema/threepids.ts'
import { users } from './schema/users.ts'
import { changingSessions } from './session-cache.ts'
import { endingGrants } from './sessions.ts'
import { addAtRegistration, type FailedAddress, failedAddress } from './threepid-validations.ts'

export type User = typeof users.$inferSelect

/** A local user, also a deactivated one. */
export async function findUser(env: Env, userId: UserId): Promise<User | undefined> {
  return await database(env).select().from(users).where(eq(users.userId, userId)).get()
}

/** The Hub shard of a local user, undefined for one who does not exist or was deactivated. */
export async function shardOf(env: Env, userId: UserId): Promise<number | undefined> {
  const row = await database(env)
    .select({ shard: users.shard })
    .from(users)
    .where(and(eq(users.userId, userId), isNull(users.deactivatedAt)))
    .get()
  return row?.shard
}

export interface NewUser {
  readonly userId: UserId
  readonly shard: number
  /** PHC string; null for an account that no password opens. */
  readonly passwordHash: string | null
  readonly admin: boolean
  readonly guest: boolean
  readonly createdAt: number
}

/** Adds a user with an empty profile. Answers false when the user id is taken, also by a deactivated user. */
export async function insertUser(env: Env, user: NewUser): Promise<boolean> {
  const db = database(env)
  try {
    await db.batch([db.insert(users).values(user), db.insert(profiles).values({ userId: user.userId })])
    return true
  } catch (error) {
    if (isUniqueViolation(error)) return false
    throw error
  }
}

/** A document in the version that a user was shown and accepted. */
export interface AcceptedPolicy {
  readonly policyId: string
  readonly version: string
}

/** What interactive authentication has brought of a new user. */
export interface Registration {
  /** What was accepted. */
  readonly policies: readonly AcceptedPolicy[]
  /** The session in which an address was validated that the account gets. */
  readonly validation: string | undefined
}

/**
 * Adds a user whose registration went through interactive authentication: the authentication session is used up, the use of
 * its registration token counted, what the user accepted recorded, and their address added, in the same transaction. Whether
 * the token makes an administrator is read there. `session-used` when another request used the session up before.
 */
export async function insertUserOnce(
  env: Env,
  user: Omit<NewUser, 'admin'>,
  authSession: string,
  { policies, validation }: Registration,
): Promise<'created' | 'user-in-use' | 'session-used' | FailedAddress> {
  const ofSession = sql`SELECT registration_token FROM interactive_auth_sessions WHERE session_id = ${authSession}`
  const statements = [
    sql`
      INSERT INTO users (user_id, shard, password_hash, admin, guest, created_at)
      SELECT ${user.userId}, ${user.shard}, ${user.passwordHash},
        ifnull((SELECT makes_admin FROM registration_tokens WHERE token = a.registration_token), 0),
        ${user.guest ? 1 : 0}, ${user.createdAt}
      FROM interactive_auth_sessions a WHERE a.session_id = ${authSession}`,
    sql`
      INSERT INTO profiles (user_id)
      SELECT ${user.userId} FROM interactive_auth_sessions WHERE session_id = ${authSession}`,
    ...policies.map(
      ({ policyId, version }) => sql`
        INSERT INTO accepted_policies (user_id, policy_id, version, accepted_at)
        SELECT ${user.userId}, ${policyId}, ${version}, ${user.createdAt}
        FROM interactive_auth_sessions WHERE session_id = ${authSession}`,
    ),
    ...(validation === undefined
      ? []
      : addAtRegistration(
          validation,
          user.userId,
          user.createdAt,
          sql`FROM interactive_auth_sessions WHERE session_id = ${authSession}`,
        )),
    sql`UPDATE registration_tokens SET completed = completed + 1 WHERE token = (${ofSession})`,
    sql`DELETE FROM interactive_auth_sessions WHERE session_id = ${authSession}`,
  ]
  try {
    const [inserted] = await env.DB.batch(statements.map((query) => statement(env, query)))
    return (inserted?.meta.changes ?? 0) > 0 ? 'created' : 'session-used'
  } catch (error) {
    const outcome = failedAddress(error) ?? (isUniqueViolation(error) ? 'user-in-use' : undefined)
    if (outcome !== undefined) return outcome
    throw error
  }
}

/** Makes a guest a full user with a password. `user-in-use` when the user is no guest any more. */
export async function upgradeGuest(
  env: Env,
  userId: UserId,
  passwordHash: string,
  { policies, validation }: Registration,
): Promise<'upgraded' | 'user-in-use' | FailedAddress> {
  // Hashes have a salt: with this one it is this upgrade that went through.
  const upgraded = sql`FROM users WHERE user_id = ${userId} AND password_hash = ${passwordHash}`
  const now = Date.now()
  const statements = [
    sql`UPDATE users SET guest = 0, password_hash = ${passwordHash} WHERE user_id = ${userId} AND guest = 1`,
    ...policies.map(
      ({ policyId, version }) => sql`
        INSERT INTO accepted_policies (user_id, policy_id, version, accepted_at)
        SELECT ${userId}, ${policyId}, ${version}, ${now} ${upgraded}`,
    ),
    ...(validation === undefined ? [] : addAtRegistration(validation, userId, now, upgraded)),
  ]
  try {
    const [updated] = await changingSessions(() =>
      env.DB.batch(statements.map((query) => statement(env, query))),
    )
    return (updated?.meta.changes ?? 0) > 0 ? 'upgraded' : 'user-in-use'
  } catch (error) {
    const outcome = failedAddress(error)
    if (outcome !== undefined) return outcome
    throw error
  }
}

/** Replaces a user's password. Answers false for a user who was deactivated meanwhile. */
export async function setPasswordHash(env: Env, userId: UserId, passwordHash: string): Promise<boolean> {
  const result = await changingSessions(() =>
    database(env)
      .update(users)
      .set({ passwordHash })
      .where(and(eq(users.userId, userId), isNull(users.deactivatedAt)))
      .run(),
  )
  return result.meta.changes > 0
}

/** Suspends or locks an account, or ends that. */
export async function setAccountFlag(
  env: Env,
  userId: UserId,
  flag: 'suspended' | 'locked',
  value: boolean,
): Promise<void> {
  await changingSessions(() =>
    database(env)
      .update(users)
      .set({ [flag]: value })
      .where(eq(users.userId, userId))
      .run(),
  )
}

/** Ends an account for good: no password, no tokens, no addresses, an empty profile. The user id stays taken. */
export async function deactivateUser(env: Env, userId: UserId, erase: boolean, now: number): Promise<void> {
  const db = database(env)
  await changingSessions(() =>
    db.batch([
      db
        .update(users)
        .set({ passwordHash: null, deactivatedAt: now, admin: false, erased: erase })
        .where(eq(users.userId, userId)),
      db.delete(sessions).where(eq(sessions.userId, userId)),
      db.delete(refreshTokens).where(eq(refreshTokens.userId, userId)),
      ...endingGrants(db, userId),
      db.delete(threepids).where(eq(threepids.userId, userId)),
      db
        .update(profiles)
        .set({ displayname: null, avatarUrl: null, fields: '{}' })
        .where(eq(profiles.userId, userId)),
    ]),
  )
}
