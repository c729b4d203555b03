// Profiles of local users. Specification: client-server API, "Profiles".

import { and, eq, isNull } from 'drizzle-orm'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { isJsonObject, type JsonObject, type JsonValue } from '../matrix/json.ts'
import { database } from './database.ts'
import { profiles } from './schema/profiles.ts'
import { users } from './schema/users.ts'

// Since v1.16: a whole profile is less than 64 KiB.
const maxProfileBytes = 64 * 1024
const attempts = 5

type ProfileRow = typeof profiles.$inferSelect

/** The profile of a local user as clients see it, undefined for one who does not exist or was deactivated. */
export async function findProfile(env: Env, userId: UserId): Promise<JsonObject | undefined> {
  const row = await profileRow(env, userId)
  return row && asObject(row)
}

/**
 * Sets a field of a profile, or removes it where `value` is undefined. Answers whether anything changed.
 * 400 M_PROFILE_TOO_LARGE, 404 M_NOT_FOUND for a user without a profile.
 */
export async function setProfileField(
  env: Env,
  userId: UserId,
  key: string,
  value: JsonValue | undefined,
): Promise<boolean> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const row = await profileRow(env, userId)
    if (!row) throw new MatrixError('M_NOT_FOUND', 404, 'No such profile')
    const before = asObject(row)
    const after = withField(before, key, value)
    if (JSON.stringify(after) === JSON.stringify(before)) return false
    if (Buffer.byteLength(JSON.stringify(after)) >= maxProfileBytes) {
      throw new MatrixError('M_PROFILE_TOO_LARGE', 400, 'The profile would be 64 KiB or more')
    }
    if (await replaceProfile(env, row, after)) return true
  }
  throw new MatrixError('M_LIMIT_EXCEEDED', 429, 'The profile is being changed elsewhere', {
    retry_after_ms: 500,
  })
}

async function profileRow(env: Env, userId: UserId): Promise<ProfileRow | undefined> {
  const row = await database(env)
    .select({ profile: profiles })
    .from(profiles)
    .innerJoin(users, eq(users.userId, profiles.userId))
    .where(and(eq(profiles.userId, userId), isNull(users.deactivatedAt)))
    .get()
  return row?.profile
}

function asObject(row: ProfileRow): JsonObject {
  const fields: unknown = JSON.parse(row.fields)
  return {
    ...(row.displayname === null ? {} : { displayname: row.displayname }),
    ...(row.avatarUrl === null ? {} : { avatar_url: row.avatarUrl }),
    ...(isJsonObject(fields) ? fields : {}),
  }
}

function withField(profile: JsonObject, key: string, value: JsonValue | undefined): JsonObject {
  const { [key]: _, ...others } = profile
  return value === undefined ? others : { ...profile, [key]: value }
}

// Two requests may change different fields at once: the write only counts on top of the row it was made from.
async function replaceProfile(env: Env, old: ProfileRow, next: JsonObject): Promise<boolean> {
  const { displayname, avatar_url: avatarUrl, ...fields } = next
  const result = await database(env)
    .update(profiles)
    .set({
      displayname: typeof displayname === 'string' ? displayname : null,
      avatarUrl: typeof avatarUrl === 'string' ? avatarUrl : null,
      fields: JSON.stringify(fields),
    })
    .where(
      and(
        eq(profiles.userId, old.userId),
        eq(profiles.fields, old.fields),
        old.displayname === null ? isNull(profiles.displayname) : eq(profiles.displayname, old.displayname),
        old.avatarUrl === null ? isNull(profiles.avatarUrl) : eq(profiles.avatarUrl, old.avatarUrl),
      ),
    )
  return result.meta.changes > 0
}
