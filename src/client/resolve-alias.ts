// From a room alias to its room. Specification: client-server API, "Room aliases".

import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { type AliasTarget, queryDirectory } from '../federation/client/queries.ts'
import type { RoomAlias } from '../matrix/event.ts'
import { findAlias } from '../storage/aliases.ts'
import { isLocal } from './path-params.ts'

/** The room that an alias points to, and servers in it. M_NOT_FOUND, 502 and 504 where its server cannot be asked. */
export async function resolveAlias(env: Env, alias: RoomAlias): Promise<AliasTarget> {
  if (!isLocal(env, alias)) return await queryDirectory(env, alias)
  const hosted = await findAlias(env, alias)
  if (!hosted) throw new MatrixError('M_NOT_FOUND', 404, `Room alias ${alias} not found`)
  return { roomId: hosted.roomId, servers: [config(env).serverName] }
}
