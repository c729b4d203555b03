// What a member may do besides sending events, judged by the power levels.

import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { powerLevelsContent, requiredLevelForEvent, userPowerLevel } from '../matrix/power-levels.ts'
import { identity, type RoomContext } from './context.ts'
import { currentMembership } from './send-event.ts'
import { currentState, stateLookup } from './state-at.ts'

/** Refuses those who are not joined. M_FORBIDDEN, the same as for rooms that do not exist. */
export function requireJoined(room: RoomContext, userId: UserId): void {
  identity(room)
  if (currentMembership(room, userId) !== 'join') {
    throw new MatrixError('M_FORBIDDEN', 403, 'You are not in this room')
  }
}

/** Whether a user has the power to send a state event of a type. */
export function maySendState(room: RoomContext, userId: UserId, type: string): boolean {
  const { rules } = identity(room)
  const state = stateLookup(room, currentState(room))
  const needed = requiredLevelForEvent(rules, powerLevelsContent(state), type, true)
  return userPowerLevel(rules, userId, state) >= needed
}

/** Refuses those who are not joined or could not change the main alias of the room. M_FORBIDDEN. */
export function requireAliasPower(room: RoomContext, userId: UserId): void {
  requireJoined(room, userId)
  if (!maySendState(room, userId, 'm.room.canonical_alias')) {
    throw new MatrixError('M_FORBIDDEN', 403, 'You do not have the power to change the aliases of this room')
  }
}
