// Guests leave a room that is closed to them. Specification: client-server API, "Guest Access".

import { roomStub } from '../env.ts'
import { writeToRoom } from '../federation/write-to-room.ts'
import type { AppContext } from '../http/app-type.ts'
import type { RoomId } from '../matrix/event.ts'
import { guestsAmong } from '../storage/local-members.ts'

/** Makes all guests of this server leave a room. */
export async function removeGuests(c: AppContext, roomId: RoomId): Promise<void> {
  const guests = await guestsAmong(c.env, await roomStub(c.env, roomId).localMembers())
  for (const sender of guests) await writeToRoom(c.env, roomId, (room) => room.leave({ sender }))
}
