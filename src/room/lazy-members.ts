// Member events of those who sent something, for clients that load members lazily.
// Specification: client-server API, "Lazy-loading room members".

import type { RoomContext } from './context.ts'
import { eventByEid, type StoredEvent } from './events.ts'
import { eidInState, findSlot } from './state-at.ts'

/** The member events of the senders of some events, as of the newest event of each. `newestFirst` gives the order. */
export function sendersMembers(room: RoomContext, newestFirst: readonly StoredEvent[]): StoredEvent[] {
  const bySender = Map.groupBy(newestFirst, ({ event }) => event.sender)
  return [...bySender].flatMap(([sender, events]) => {
    const [newest] = events
    // A change of their own membership says little about how their messages were meant to be shown.
    const telling = events.find(({ event }) => event.type !== 'm.room.member' || event.state_key !== sender)
    const ref = telling?.stateBefore ?? newest?.stateAfter ?? 0
    return memberIn(room, ref, sender) ?? (newest && memberIn(room, newest.stateAfter, sender)) ?? []
  })
}

function memberIn(room: RoomContext, ref: number, userId: string): StoredEvent | undefined {
  const slot = findSlot(room, 'm.room.member', userId)
  const eid = slot === undefined ? 0 : eidInState(room, ref, slot)
  return eid === 0 ? undefined : eventByEid(room, eid)
}
