// A new name or avatar, told to the rooms of its owner.
// Specification: client-server API, "Events on Change of Profile Information".

import { writeToRoom } from '../federation/write-to-room.ts'
import { hubStub } from '../env.ts'
import type { AppContext } from '../http/app-type.ts'
import type { Session } from '../http/session.ts'
import { acrossRooms } from './across-rooms.ts'

/** What changed; null where it was removed. */
export interface ProfileChange {
  readonly displayname?: string | null
  readonly avatar_url?: string | null
}

/** Updates the user's member event in every room they are joined to. */
export async function propagateProfile(
  c: AppContext,
  session: Session,
  change: ProfileChange,
): Promise<void> {
  const { userId, shard } = session
  const roomIds = await hubStub(c.env, shard).joinedRooms(userId)
  await acrossRooms(c, roomIds, (roomId) =>
    writeToRoom(c.env, roomId, (room) => room.updateMemberProfile({ userId, ...change })),
  )
}
