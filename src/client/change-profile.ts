// Changes of a user's profile, whoever asks for them. Specification: client-server API, "Profiles".

import { config } from '../config.ts'
import { type Env, hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { JsonValue } from '../matrix/json.ts'
import { setProfileField } from '../storage/profiles.ts'
import type { User } from '../storage/users.ts'

// Both go into member events, which have a size limit of their own.
export const longestDisplayName = 256
const longestAvatarUrl = 1000

/** Sets a field of a profile, or removes it where `value` is undefined, and has the user's rooms told. */
export async function changeProfile(
  env: Env,
  { userId, shard }: Pick<User, 'userId' | 'shard'>,
  key: string,
  value: JsonValue | undefined,
): Promise<void> {
  if (key !== 'displayname' && key !== 'avatar_url') {
    await setProfileField(env, userId, key, value)
    return
  }
  // Rooms show name and avatar by the user's member event. Noted beforehand: a crash in between keeps no room from it.
  const hub = hubStub(env, shard)
  await hub.expectRoomsTask(userId, key)
  const changed = await setProfileField(env, userId, key, value)
  if (changed && config(env).presence) {
    await hub.profileChanged(userId, { [key]: typeof value === 'string' ? value : null })
  }
  await hub.startRoomsTask(userId, key)
}

/**
 * A value as a field has it; undefined for an empty name or avatar, which is how clients removed one before there was DELETE.
 * 400 M_INVALID_PARAM.
 */
export function checkedValue(key: string, value: JsonValue): JsonValue | undefined {
  if (key === 'displayname') {
    if (typeof value !== 'string' || value.length > longestDisplayName) throw invalid(key)
    return value === '' ? undefined : value
  }
  if (key === 'avatar_url') {
    // Any text is taken, as elsewhere in the field: clients ignore what is no mxc URI.
    if (typeof value !== 'string' || value.length > longestAvatarUrl) throw invalid(key)
    return value === '' ? undefined : value
  }
  if (key === 'm.tz' && typeof value !== 'string') throw invalid(key)
  return value
}

function invalid(key: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `Invalid field ${key}`)
}
