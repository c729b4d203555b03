// The outcome of push rules, evaluated once an event for all local users of its room, and stored compactly with the
// event's log row. Specification: client-server API, "Push rules"; "Ignoring users".

import { boundedMemo } from '../matrix/bounded-memo.ts'
import { isJsonObject, objectProperty } from '../matrix/json.ts'
import { defaultRules } from '../matrix/push-rules/default-rules.ts'
import { evaluate } from '../matrix/push-rules/evaluate.ts'
import { readEvent } from '../matrix/push-rules/event-reader.ts'
import { getAccountData, globalRid } from './account-data.ts'
import type { HubContext } from './context.ts'
import { userIdOf } from './interned.ts'
import type { JoinedMembers } from './members.ts'
import type { EventNews } from './room-news.ts'

/** All joined local users are notified but those in `x`; `h` are highlighted. */
export interface NotifyOutcome {
  readonly x: readonly number[]
  readonly h: readonly number[]
}

const rulesFor = boundedMemo(2000, defaultRules)

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
    const { notify, highlight } = evaluate(rulesFor(userId), event, {
      userId,
      ...(displayName === null ? {} : { displayName }),
      memberCount: news.push.memberCount,
      senderPowerLevel: news.push.senderPowerLevel,
      notificationLevels: news.push.notificationLevels,
    })
    if (!notify || isIgnored(hub, uid, news.sender)) {
      outcome.x.push(uid)
      continue
    }
    notified = true
    if (highlight) outcome.h.push(uid)
  }
  return notified ? JSON.stringify(outcome) : null
}

const ignoredLists = new WeakMap<HubContext, Map<number, { text: string; users: readonly string[] }>>()

/** The users that a user ignores. */
export function ignoredUsers(hub: HubContext, uid: number): readonly string[] {
  const text = getAccountData(hub, uid, globalRid, 'm.ignored_user_list')
  if (text === undefined) return []
  const lists = ignoredLists.get(hub) ?? new Map<number, { text: string; users: readonly string[] }>()
  ignoredLists.set(hub, lists)
  const known = lists.get(uid)
  if (known?.text === text) return known.users
  const content: unknown = JSON.parse(text)
  const users = Object.keys(
    (isJsonObject(content) ? objectProperty(content, 'ignored_users') : undefined) ?? {},
  )
  lists.set(uid, { text, users })
  return users
}

function isIgnored(hub: HubContext, uid: number, sender: string): boolean {
  return ignoredUsers(hub, uid).includes(sender)
}
