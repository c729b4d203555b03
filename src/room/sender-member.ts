// The member event of an event's sender, as Hubs keep it beside the event for clients that load members lazily.
// Specification: client-server API, "Lazy-loading room members", "Types of room events" (`unsigned`).

import type { SenderMember } from '../hub/room-news.ts'
import { isEventVisible, parseHistoryVisibility } from '../matrix/history-visibility.ts'
import { stringProperty } from '../matrix/json.ts'
import { syncEvent } from './client-event.ts'
import type { RoomContext } from './context.ts'
import { eventByEid, type StoredEvent } from './events.ts'
import { eidInState, eventInState, findSlot, knowsState } from './state-at.ts'

/** The sender's member event as of just before an event; undefined where there is none. */
export function senderMember(
  room: RoomContext,
  { event, stateBefore }: StoredEvent,
): SenderMember | undefined {
  const slot = findSlot(room, 'm.room.member', event.sender)
  const eid = slot === undefined ? 0 : eidInState(room, stateBefore, slot)
  if (eid === 0) return undefined
  const member = eventByEid(room, eid)
  return { event: syncEvent(room, member), standing: standing(room, member) }
}

function standing(room: RoomContext, member: StoredEvent): SenderMember['standing'] {
  const { eid, slot, stateBefore, stateAfter, redactedBy, txn } = member
  // Whoever is told of a redaction or of how it was sent is for the room to say.
  if (redactedBy !== null || txn !== null) return 'asked'
  if (!knowsState(member)) return 'unknown'
  if (stateAfter !== eid || stateBefore !== eid - 1) return 'asked'
  const replaced = slot === null ? 0 : eidInState(room, stateBefore, slot)
  return { at: eid, open: replaced === 0 || isOpen(room, eventByEid(room, replaced)) }
}

/** Whether those who came later may read an event. */
function isOpen(room: RoomContext, { event, stateBefore }: StoredEvent): boolean {
  const setting = eventInState(room, stateBefore, 'm.room.history_visibility', '')?.content
  const visibility = parseHistoryVisibility(stringProperty(setting, 'history_visibility'))
  return isEventVisible(event, '', { visibility, membership: undefined }, true)
}
