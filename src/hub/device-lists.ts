// Whose device lists a client must fetch anew, because they came to share a room with it or ceased to.
// Specification: client-server API, "Tracking the device list for a user"; "Extensions to /sync" of encryption.

import type { UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import { userIdOf } from './interned.ts'
import { joinedMembers, usersSharing } from './members.ts'
import type { RoomChange } from './sync-rooms.ts'

export interface DeviceLists {
  readonly changed: readonly UserId[]
  readonly left: readonly UserId[]
}

// A longer window is not read: then everybody may have changed.
const longestScan = 10_000

/** The users to fetch anew and to forget, for what happened in (since, upTo]. */
export function deviceListsSince(
  hub: HubContext,
  uid: number,
  since: number,
  upTo: number,
  changes: readonly RoomChange[],
): DeviceLists {
  const touched = upTo - since > longestScan ? usersSharing(hub, uid) : touchedUsers(hub, uid, since, upTo)
  for (const change of changes) {
    // A room that the user came into or went out of concerns all who are in it.
    const entered = change.membership === 'join' && change.from === undefined
    const exited = change.membership !== 'join' && change.wasJoined
    if (entered || exited) for (const other of joinedMembers(hub, change.rid).keys()) touched.add(other)
  }
  touched.delete(uid)
  const sharing = touched.size === 0 ? touched : usersSharing(hub, uid)
  const names = (keep: (other: number) => boolean) =>
    [...touched].filter(keep).map((other) => userIdOf(hub, other))
  return { changed: names((other) => sharing.has(other)), left: names((other) => !sharing.has(other)) }
}

/** Users who joined or left a room of this user in the window. */
function touchedUsers(hub: HubContext, uid: number, since: number, upTo: number): Set<number> {
  const rows = hub.sql.exec<{ uid: number }>(
    `SELECT DISTINCT log.uid FROM log
     JOIN user_room AS mine ON mine.rid = log.rid AND mine.uid = ? AND mine.membership = 'join'
     WHERE log.pos > ? AND log.pos <= ? AND log.uid IS NOT NULL AND (log.prev IS 'join') <> (log.next IS 'join')`,
    uid,
    since,
    upTo,
  )
  return new Set([...rows].map((row) => row.uid))
}
