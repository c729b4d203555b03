// What clients may put into m.room.canonical_alias. Specification: client-server API,
// PUT /rooms/{roomId}/state/{eventType}/{stateKey}.

import { type Env, roomStub } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import { queryDirectory } from '../federation/client/queries.ts'
import type { RoomAlias, RoomId, UserId } from '../matrix/event.ts'
import { parseRoomAlias } from '../matrix/identifiers.ts'
import { type JsonObject, property } from '../matrix/json.ts'
import { aliasesPointingTo } from '../storage/aliases.ts'
import { isLocal } from './path-params.ts'

/** Refuses aliases that are none (M_INVALID_PARAM) or do not point to the room (M_BAD_ALIAS), both 400. */
export async function checkCanonicalAlias(
  env: Env,
  roomId: RoomId,
  sender: UserId,
  content: JsonObject,
): Promise<void> {
  const named = namedAliases(content)
  const local = named.filter((alias) => isLocal(env, alias))
  const pointing = local.length === 0 ? new Set() : await aliasesPointingTo(env, roomId, local)
  const doubtful = named.filter((alias) => !pointing.has(alias))
  if (doubtful.length === 0) return
  // Aliases that the event names already are not checked again.
  const { listed } = await roomStub(env, roomId).aliasStanding(sender)
  for (const alias of doubtful.filter((one) => !listed.includes(one))) {
    if (!isLocal(env, alias) && (await pointsTo(env, roomId, alias))) continue
    throw new MatrixError('M_BAD_ALIAS', 400, `The alias '${alias}' does not point to this room`)
  }
}

/** Whether another server says that its alias points to the room. */
async function pointsTo(env: Env, roomId: RoomId, alias: RoomAlias): Promise<boolean> {
  try {
    return (await queryDirectory(env, alias)).roomId === roomId
  } catch (error) {
    if (isMatrixError(error)) return false
    throw error
  }
}

function namedAliases(content: JsonObject): RoomAlias[] {
  const alias = property(content, 'alias') ?? ''
  const alternatives = property(content, 'alt_aliases') ?? []
  if (!Array.isArray(alternatives)) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid field alt_aliases: not a list')
  }
  // Absent, null and empty all mean that there is no main alias.
  const all = [...(alias === '' ? [] : [alias]), ...alternatives]
  return all.map((value) => {
    const parsed = typeof value === 'string' ? parseRoomAlias(value) : undefined
    if (parsed === undefined) throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid field: not a room alias')
    return parsed
  })
}
