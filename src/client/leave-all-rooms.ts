// A deactivated user leaves. Specification: client-server API, "Account deactivation".

import { hubStub } from '../env.ts'
import type { AppContext } from '../http/app-type.ts'
import type { UserId } from '../matrix/event.ts'
import { acrossRooms } from './across-rooms.ts'
import { leaveRoom } from './leave-room.ts'

const present = new Set(['join', 'invite', 'knock'])

/** Leaves all rooms a user is joined or invited to, or knocked on. */
export async function leaveAllRooms(
  c: AppContext,
  { userId, shard }: { readonly userId: UserId; readonly shard: number },
): Promise<void> {
  const rooms = await hubStub(c.env, shard).roomsOf(userId)
  const roomIds = rooms.filter(({ membership }) => present.has(membership)).map(({ roomId }) => roomId)
  await acrossRooms(c, roomIds, (roomId) => leaveRoom(c.env, { userId, shard }, roomId, {}))
}
