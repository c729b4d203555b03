// What this server knows of a user's membership in a room, for the rooms whose members may join another one.
// Specification: server-server API, "Restricted rooms".

import type { UserId } from '../matrix/event.ts'
import type { RoomContext } from './context.ts'
import { isResident } from './federation-access.ts'
import { currentMembership } from './send-event.ts'

/** `unknown`: this server is not in the room, and what it may have known is out of date. */
export type KnownMembership = 'joined' | 'not-joined' | 'unknown'

/** A user's membership in the room as it is now. */
export function knownMembership(room: RoomContext, userId: UserId): KnownMembership {
  if (!isResident(room)) return 'unknown'
  return currentMembership(room, userId) === 'join' ? 'joined' : 'not-joined'
}
