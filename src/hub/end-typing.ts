// Typing that ends with a membership. Specification: client-server API, "Typing notifications".

import type { HubContext } from './context.ts'
import { nextEphemeral } from './ephemeral.ts'
import { joinedMembers } from './members.ts'
import type { EventNews } from './room-news.ts'
import { typingState, type TypingRoom } from './typing.ts'
import { wake } from './waiters.ts'

/** Ends the typing of those who are no longer in the room by its news. Other servers see them go by themselves. */
export function endTypingOfGone(hub: HubContext, rid: number, { memberships, others = [] }: EventNews): void {
  const room = typingState(hub).rooms.get(rid)
  if (!room) return
  const gone = [
    ...memberships.filter(({ next }) => next !== 'join'),
    ...others.filter(({ joined }) => !joined),
  ].filter(({ userId }) => room.users.delete(userId))
  if (gone.length > 0) typingChanged(hub, rid, room)
}

/** Tells those who wait that somebody started or ended to type. */
export function typingChanged(hub: HubContext, rid: number, room: TypingRoom): void {
  room.changed = nextEphemeral(hub)
  for (const uid of joinedMembers(hub, rid).keys()) wake(hub, uid)
}
