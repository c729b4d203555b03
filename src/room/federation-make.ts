// Templates of member events for users of other servers who come in, go or knock through this one.
// Specification: server-server API, "Joining Rooms", "Restricted rooms", "Leaving Rooms", "Knocking upon a room".

import { MatrixError } from '../errors.ts'
import type { RoomId, ServerName, UserId } from '../matrix/event.ts'
import { identity, type RoomContext } from './context.ts'
import { requireResident } from './federation-access.ts'
import { eventTemplate } from './federation-read.ts'
import { authoriseRestrictedJoin } from './restricted-join.ts'

export interface MakeRequest {
  readonly origin: ServerName
  readonly membership: 'join' | 'leave' | 'knock'
  /** A user of the asking server. */
  readonly userId: UserId
  /** The room versions that the asking server knows; left out where it does not say. */
  readonly versions?: readonly string[]
  /** Those of the rooms asked about before that the user is joined to. */
  readonly memberOf?: readonly RoomId[]
}

/** The body of the answer, or the rooms whose members may join: then ask again with those the user is joined to. */
export type MakeAnswer = { readonly body: string } | { readonly needsMembership: readonly RoomId[] }

/**
 * A template for a member event. M_NOT_FOUND where this server is not in the room, M_FORBIDDEN,
 * M_INCOMPATIBLE_ROOM_VERSION, M_UNABLE_TO_GRANT_JOIN.
 */
export function makeMembership(room: RoomContext, request: MakeRequest): MakeAnswer {
  const { origin, membership, userId, versions, memberOf } = request
  requireResident(room, origin)
  const { rules } = identity(room)
  if (versions && !versions.includes(rules.id)) {
    const message = `This room has version ${rules.id}, which your server does not support`
    throw new MatrixError('M_INCOMPATIBLE_ROOM_VERSION', 400, message, { room_version: rules.id })
  }
  const authorisation = membership === 'join' ? authoriseRestrictedJoin(room, userId, memberOf) : {}
  if ('needsMembership' in authorisation) return authorisation
  const content = { ...authorisation, membership }
  const template = eventTemplate(room, { type: 'm.room.member', sender: userId, state_key: userId, content })
  return { body: `{"room_version":${JSON.stringify(rules.id)},"event":${template}}` }
}
