// From a room alias to its room. Specification: client-server API, "Room aliases".

import { findOrAskForAlias } from '../appservice/query.ts'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { type AliasTarget, queryDirectory } from '../federation/client/queries.ts'
import type { RoomAlias, UserId } from '../matrix/event.ts'
import { isLocal } from './path-params.ts'

/**
 * The room that an alias points to, and servers in it. `findAsker` says which user asks, where an application service may make the
 * room for them. M_NOT_FOUND, 502 and 504 where its server cannot be asked, 408 where an application service does not answer.
 */
export async function resolveAlias(
  env: Env,
  alias: RoomAlias,
  findAsker: () => Promise<UserId | undefined>,
): Promise<AliasTarget> {
  if (!isLocal(env, alias)) return await queryDirectory(env, alias)
  const hosted = await findOrAskForAlias(env, alias, findAsker)
  if (!hosted) throw new MatrixError('M_NOT_FOUND', 404, `Room alias ${alias} not found`)
  return { roomId: hosted.roomId, servers: [config(env).serverName] }
}
