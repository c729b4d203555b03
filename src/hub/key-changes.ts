// Specification: client-server API, GET /keys/changes.

import type { UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import { type DeviceLists, deviceListsSince } from './device-lists.ts'
import { internUser } from './interned.ts'
import { changedRooms } from './sync-rooms.ts'
import { parseSyncToken } from './sync-token.ts'

/**
 * The users whose device lists a client must fetch anew and forget between two tokens of /sync. Undefined where one of them
 * is no such token.
 */
export function keyChanges(
  hub: HubContext,
  userId: UserId,
  from: string,
  to: string,
): DeviceLists | undefined {
  const since = parseSyncToken(from)
  const end = parseSyncToken(to)
  if (!since || !end) return undefined
  const uid = internUser(hub, userId)
  const upTo = Math.min(end.log, hub.position)
  const changes = changedRooms(hub, uid, { since, includeLeave: false }, upTo)
  const { changed, left } = deviceListsSince(hub, uid, since.log, upTo, changes)
  return { changed, left }
}
