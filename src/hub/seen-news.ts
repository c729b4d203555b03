// News of a room as one of its members sees them.
// Specification: client-server API, "Types of room events", `membership` and `prev_content` of `unsigned`.

import { type JsonObject, objectProperty } from '../matrix/json.ts'
import type { HubContext } from './context.ts'
import { membershipAt } from './membership-history.ts'
import type { EventNews, SenderMember } from './room-news.ts'

/** In the place of a member event of which the room has to be asked. */
export const memberToAsk = 'ask'

export type SeenNews = Omit<EventNews, 'senderMember'> & {
  /** The sender's member event with what in it depends on the viewer. */
  readonly senderMember?: JsonObject | typeof memberToAsk
}

/** What a member gets to see of an event that memory holds. */
export function seenNews(hub: HubContext, uid: number, rid: number, news: EventNews): SeenNews {
  const { senderMember, ...others } = news
  return senderMember ? { ...others, senderMember: seenMember(hub, uid, rid, senderMember) } : others
}

function seenMember(
  hub: HubContext,
  uid: number,
  rid: number,
  { event, standing }: SenderMember,
): JsonObject | typeof memberToAsk {
  if (standing === 'asked') return memberToAsk
  if (standing === 'unknown') return event
  // Since v1.11: what the viewer was just after it.
  const membership = membershipAt(hub, uid, rid, standing.at)
  // Since v1.19: what it replaced is for those who may see that.
  if (membership === undefined || (membership !== 'join' && !standing.open)) return memberToAsk
  return { ...event, unsigned: { ...objectProperty(event, 'unsigned'), membership } }
}
