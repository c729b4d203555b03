// What a user has attached to a room, all of it at once. Specification: client-server API, GET /rooms/{roomId}/initialSync.

import type { RoomId, UserId } from '../matrix/event.ts'
import { type AccountData, removed, roomAccountDataSince } from './account-data.ts'
import type { HubContext } from './context.ts'
import { findRoom, findUser } from './interned.ts'
import { membershipOf } from './members.ts'

export interface RoomAccountData {
  /** Undefined for users who never had to do with the room. */
  readonly membership: string | undefined
  readonly accountData: readonly AccountData[]
}

/** A user's membership in a room and their account data for it. */
export function roomAccountData(hub: HubContext, userId: UserId, roomId: RoomId): RoomAccountData {
  const uid = findUser(hub, userId)
  const rid = findRoom(hub, roomId)
  const all = uid === undefined ? [] : roomAccountDataSince(hub, uid, 0, hub.position)
  return {
    membership: membershipOf(hub, userId, roomId),
    accountData: all
      .filter((entry) => entry.rid === rid && entry.content !== removed)
      .map(({ type, content }) => ({ type, content })),
  }
}
