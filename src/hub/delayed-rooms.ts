// In which rooms a user may have delayed events, so that these can be listed and counted without asking all their rooms.
// Noted before the room schedules anything: a room too many costs a question, one too few would hide an event. Not in the
// specification yet: MSC4140.

import type { RoomId, UserId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import { findRoom, findUser, internRoom, internUser, roomIdOf } from './interned.ts'
import { requireJoined } from './members.ts'

export interface DelayedRoom {
  readonly roomId: RoomId
  /** When the user last scheduled an event there, in milliseconds. */
  readonly at: number
}

// A request that noted the room may still be on its way to it.
const settledMs = 60_000

/** Notes that a user is about to schedule an event. Returns all rooms noted. M_FORBIDDEN for those who are not joined. */
export function noteDelayedRoom(hub: HubContext, userId: UserId, roomId: RoomId): DelayedRoom[] {
  requireJoined(hub, userId, roomId)
  hub.sql.exec(
    `INSERT INTO delayed_rooms VALUES (?, ?, ?) ON CONFLICT (uid, rid) DO UPDATE SET at = excluded.at`,
    internUser(hub, userId),
    internRoom(hub, roomId),
    hub.now(),
  )
  return delayedRooms(hub, userId)
}

/** The rooms in which a user may have delayed events. */
export function delayedRooms(hub: HubContext, userId: UserId): DelayedRoom[] {
  const uid = findUser(hub, userId)
  if (uid === undefined) return []
  return hub.sql
    .exec<{ rid: number; at: number }>('SELECT rid, at FROM delayed_rooms WHERE uid = ?', uid)
    .toArray()
    .map(({ rid, at }) => ({ roomId: roomIdOf(hub, rid), at }))
}

/** Forgets rooms that were asked and have nothing scheduled, unless something was noted since or just before. */
export function forgetDelayedRooms(hub: HubContext, userId: UserId, rooms: readonly DelayedRoom[]): void {
  const uid = findUser(hub, userId)
  for (const { roomId, at } of rooms) {
    const rid = findRoom(hub, roomId)
    if (uid === undefined || rid === undefined || at > hub.now() - settledMs) continue
    hub.sql.exec('DELETE FROM delayed_rooms WHERE uid = ? AND rid = ? AND at = ?', uid, rid, at)
  }
}
