// Whether a user may see the summary of a room that other servers have described: they show what any user of this server
// could see, and leave it to this server to tell its users apart.
// Specification: client-server API, GET /rooms/{roomId}/hierarchy and /room_summary; server-server API, "Spaces".

import { type Env, hubStub } from '../env.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { parseRoomId } from '../matrix/identifiers.ts'
import { type JsonObject, property } from '../matrix/json.ts'

/** The memberships of one user, or of somebody who is none. Asked for once, when they are needed. */
export interface UserRooms {
  readonly membership: (roomId: RoomId) => Promise<string | undefined>
  readonly joinedToAny: (roomIds: readonly RoomId[]) => Promise<boolean>
}

/** The memberships of a user as their Hub has them: one call, however many rooms are asked about. */
export function userRooms(env: Env, { userId, shard }: { userId: UserId; shard: number }): UserRooms {
  let memberships: Promise<ReadonlyMap<RoomId, string>> | undefined
  const ask = async () => {
    const rooms = await hubStub(env, shard).roomsOf(userId)
    return new Map(rooms.map(({ roomId, membership }) => [roomId, membership]))
  }
  const known = () => (memberships ??= ask())
  return {
    membership: async (roomId) => (await known()).get(roomId),
    joinedToAny: async (roomIds) => {
      const map = await known()
      return roomIds.some((roomId) => map.get(roomId) === 'join')
    },
  }
}

/** Somebody who is not signed in. */
export const noRooms: UserRooms = {
  membership: () => Promise.resolve(undefined),
  joinedToAny: () => Promise.resolve(false),
}

/** Whether a user may see a room by the summary that another server gave of it. */
export async function mayPreview(user: UserRooms, roomId: RoomId, summary: JsonObject): Promise<boolean> {
  if (property(summary, 'world_readable') === true) return true
  const membership = await user.membership(roomId)
  if (membership === 'ban') return false
  // Whoever was invited may join; one who is joined here and not in the room is on the way in.
  if (membership === 'invite' || membership === 'join') return true
  // A room whose join rule is not told is public.
  const joinRule = property(summary, 'join_rule') ?? 'public'
  if (joinRule === 'public' || joinRule === 'knock' || joinRule === 'knock_restricted') return true
  if (joinRule !== 'restricted') return false
  const allowed = property(summary, 'allowed_room_ids')
  const roomIds = (Array.isArray(allowed) ? allowed : [])
    .map((id) => (typeof id === 'string' ? parseRoomId(id) : undefined))
    .filter((id) => id !== undefined)
  return await user.joinedToAny(roomIds)
}
