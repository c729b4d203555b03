// Guests leave a room that is closed to them. Specification: client-server API, "Guest Access".

import { roomStub } from '../env.ts'
import type { AppContext } from '../http/app-type.ts'
import type { RoomId } from '../matrix/event.ts'
import { guestsAmong } from '../storage/local-members.ts'

/** Makes all guests of this server leave a room. */
export async function removeGuests(c: AppContext, roomId: RoomId): Promise<void> {
  const room = roomStub(c.env, roomId)
  const guests = await guestsAmong(c.env, await room.localMembers())
  for (const sender of guests) await room.leave({ sender })
}
