// Paths that name a user whose data only they may see: /user/{userId}/….

import { MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import type { RoomId } from '../matrix/event.ts'
import { parseRoomId } from '../matrix/identifiers.ts'

/** Refuses a request about another user than the one whose access token it carries. 403 M_FORBIDDEN. */
export function requireOwnUser(c: AppContext): void {
  if (c.req.param('userId') !== c.var.session.userId) {
    throw new MatrixError('M_FORBIDDEN', 403, 'The data of other users is out of reach')
  }
}

/** The room that a path names. 400 M_INVALID_PARAM. */
export function roomParam(c: AppContext): RoomId {
  const roomId = parseRoomId(c.req.param('roomId') ?? '')
  if (roomId === undefined)
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter roomId: not a room id')
  return roomId
}
