// From a room alias to its room. Specification: client-server API, "Room aliases".

import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { RoomAlias, RoomId } from '../matrix/event.ts'
import { findAlias } from '../storage/aliases.ts'
import { resolveRemoteAlias } from './other-servers.ts'
import { isLocal } from './path-params.ts'

/** The room that an alias points to. M_NOT_FOUND. */
export async function resolveAlias(env: Env, alias: RoomAlias): Promise<RoomId> {
  if (!isLocal(env, alias)) return await resolveRemoteAlias(alias)
  const hosted = await findAlias(env, alias)
  if (!hosted) throw new MatrixError('M_NOT_FOUND', 404, `Room alias ${alias} not found`)
  return hosted.roomId
}
