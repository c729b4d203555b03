// The outcome of push rules, evaluated once an event for all local users of its room, and stored compactly with the
// event's log row. Specification: client-server API, "Push rules"; "Ignoring users".

import { evaluate } from '../matrix/push-rules/evaluate.ts'
import { readEvent } from '../matrix/push-rules/event-reader.ts'
import { ignoredUsers, pushRulesetOf } from './account-data.ts'
import type { HubContext } from './context.ts'
import { userIdOf } from './interned.ts'
import type { JoinedMembers } from './members.ts'
import type { EventNews } from './room-news.ts'

/** All joined local users are notified but those in `x`; `h` are highlighted. */
export interface NotifyOutcome {
  readonly x: readonly number[]
  readonly h: readonly number[]
  /** The root of the thread that the event is in; absent in the main timeline. */
  readonly t?: string
}

/** The outcome of an event as JSON text, null where it notifies nobody. */
export function notifyOutcome(
  hub: HubContext,
  roomId: string,
  members: JoinedMembers,
  news: EventNews,
): string | null {
  const event = readEvent({ ...news.event, room_id: roomId })
  const outcome: { x: number[]; h: number[] } = { x: [], h: [] }
  let notified = false
  for (const [uid, displayName] of members) {
    const userId = userIdOf(hub, uid)
    const { notify, highlight } = evaluate(pushRulesetOf(hub, uid), event, {
      userId,
      ...(displayName === null ? {} : { displayName }),
      memberCount: news.push.memberCount,
      senderPowerLevel: news.push.senderPowerLevel,
      notificationLevels: news.push.notificationLevels,
    })
    if (!notify || ignoredUsers(hub, uid).includes(news.sender)) {
      outcome.x.push(uid)
      continue
    }
    notified = true
    if (highlight) outcome.h.push(uid)
  }
  if (!notified) return null
  return JSON.stringify(news.thread === undefined ? outcome : { ...outcome, t: news.thread })
}
