// Whose device lists a client must fetch anew: their keys changed, or they came to share a room with it, or ceased to.
// Each list has the position of its last change in the order of the log.
// Specification: client-server API, "Tracking the device list for a user"; "Extensions to /sync" of encryption.

import type { UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import { findUser, userIdOf } from './interned.ts'
import { signedSince } from './key-signatures.ts'
import { joinedMembers, usersSharing } from './members.ts'
import { otherMembers, othersLost, othersSharing, sharesWithOther } from './other-members.ts'
import type { RoomChange } from './sync-rooms.ts'

export interface DeviceLists {
  readonly changed: readonly UserId[]
  readonly left: readonly UserId[]
}

/** With those of `changed` who came into the user's sight. */
export interface DeviceListsNews extends DeviceLists {
  readonly newlySeen: readonly UserId[]
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
): DeviceListsNews {
  const view = viewOf(hub, uid)
  const moved = new Set(upTo - since > longestScan ? view.all() : movedUsers(hub, uid, since, upTo))
  for (const change of changes) {
    // A room that the user came into or went out of concerns all who are in it.
    const entered = change.membership === 'join' && change.from === undefined
    const exited = change.membership !== 'join' && change.wasJoined
    if (entered) for (const other of membersOf(hub, change.rid)) moved.add(other)
    if (exited) for (const other of lostWith(hub, uid, change.rid, since, upTo, view)) moved.add(other)
  }
  const own = userIdOf(hub, uid)
  const newlySeen = [...moved].filter((other) => other !== own && view.shares(other))
  const left = [...moved].filter((other) => other !== own && !view.shares(other))
  const rekeyed = changedLists(hub, since, upTo).filter((other) => other === own || view.shares(other))
  const changed = new Set([...newlySeen, ...rekeyed, ...signedSince(hub, uid, since, upTo)])
  // The user's other devices may want to know where they are now.
  if (moved.has(own)) changed.add(own)
  return { changed: [...changed], left, newlySeen }
}

/**
 * With whom a user who went out of a room in the window shares none any more: those who were in it until then. Who came in
 * later is none of their business.
 */
function lostWith(
  hub: HubContext,
  uid: number,
  rid: number,
  since: number,
  upTo: number,
  view: View,
): UserId[] {
  const exit = exitPosition(hub, uid, rid, since, upTo)
  const before = movesIn(hub, rid, since, exit).map(({ userId }) => userId)
  // What a user did first after that tells whether they were there.
  const after = new Map(
    movesIn(hub, rid, exit, hub.position)
      .toReversed()
      .map(({ userId, left }) => [userId, left]),
  )
  const own = userIdOf(hub, uid)
  const stayed = view.lost(rid).filter((other) => after.get(other) ?? true)
  const gone = [...before, ...[...after].filter(([, left]) => left).map(([other]) => other)]
  return [...stayed, ...gone.filter((other) => other !== own && !view.shares(other))]
}

/** Where in the log a user went out of a room last. */
function exitPosition(hub: HubContext, uid: number, rid: number, since: number, upTo: number): number {
  const { pos } = hub.sql
    .exec<{ pos: number | null }>(
      `SELECT max(pos) AS pos FROM log
       WHERE rid = ? AND pos > ? AND pos <= ? AND uid = ? AND prev = 'join' AND next IS NOT 'join'`,
      rid,
      since,
      upTo,
      uid,
    )
    .one()
  return pos ?? upTo
}

/** Who came into a room and who left it, in order. */
function movesIn(
  hub: HubContext,
  rid: number,
  since: number,
  upTo: number,
): { readonly userId: UserId; readonly left: boolean }[] {
  const rows = hub.sql.exec<{ uid: number | null; other: UserId | null; prev: string | null }>(
    `SELECT uid, other, prev FROM log
     WHERE rid = ? AND pos > ? AND pos <= ? AND (prev IS 'join') <> (next IS 'join') ORDER BY pos`,
    rid,
    since,
    upTo,
  )
  return [...rows].flatMap(({ uid, other, prev }) => {
    const userId = uid === null ? other : userIdOf(hub, uid)
    return userId === null ? [] : [{ userId, left: prev === 'join' }]
  })
}

type View = ReturnType<typeof viewOf>

/** Whom a user shares a room with, asked for as needed. */
function viewOf(hub: HubContext, uid: number) {
  let here: Set<number> | undefined
  const sharers = () => (here ??= usersSharing(hub, uid))
  const known = new Map<UserId, boolean>()
  const shares = (other: UserId): boolean => {
    const local = findUser(hub, other)
    const answer =
      known.get(other) ?? (local === undefined ? sharesWithOther(hub, uid, other) : sharers().has(local))
    known.set(other, answer)
    return answer
  }
  return {
    shares,
    all: () => [...[...sharers()].map((local) => userIdOf(hub, local)), ...othersSharing(hub, uid)],
    lost: (rid: number) => [
      ...othersLost(hub, uid, rid),
      ...[...joinedMembers(hub, rid).keys()]
        .map((local) => userIdOf(hub, local))
        .filter((other) => !shares(other)),
    ],
  }
}

function membersOf(hub: HubContext, rid: number): UserId[] {
  const local = [...joinedMembers(hub, rid).keys()].map((uid) => userIdOf(hub, uid))
  return [...local, ...otherMembers(hub, rid)]
}

/** Users who joined or left a room of this user in the window. */
function movedUsers(hub: HubContext, uid: number, since: number, upTo: number): UserId[] {
  const rows = hub.sql.exec<{ uid: number | null; other: UserId | null }>(
    `SELECT DISTINCT log.uid, log.other FROM log
     JOIN user_room AS mine ON mine.rid = log.rid AND mine.uid = ? AND mine.membership = 'join'
     WHERE log.pos > ? AND log.pos <= ? AND (log.prev IS 'join') <> (log.next IS 'join')`,
    uid,
    since,
    upTo,
  )
  return [...rows]
    .filter((row) => row.uid !== uid)
    .flatMap((row) => (row.uid === null ? (row.other ?? []) : userIdOf(hub, row.uid)))
}

function changedLists(hub: HubContext, since: number, upTo: number): UserId[] {
  return hub.sql
    .exec<{ userId: UserId }>(
      'SELECT user_id AS userId FROM device_lists WHERE pos > ? AND pos <= ?',
      since,
      upTo,
    )
    .toArray()
    .map(({ userId }) => userId)
}
