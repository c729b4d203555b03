// The outcome of push rules, evaluated once an event for all local users of its room, and stored compactly with the
// event's log row. Specification: client-server API, "Push rules"; "Ignoring users".

import { parseUserId } from '../matrix/identifiers.ts'
import { evaluate } from '../matrix/push-rules/evaluate.ts'
import { readEvent } from '../matrix/push-rules/event-reader.ts'
import { ignoredUsers, pushRulesetOf } from './account-data.ts'
import type { HubContext } from './context.ts'
import { internUser, userIdOf } from './interned.ts'
import { invitePermissionOf } from './invite-permission.ts'
import type { JoinedMembers } from './members.ts'
import { isPushedTo, type PushTarget } from './pushes.ts'
import type { EventNews } from './room-news.ts'

/** All joined local users are notified but those in `x`; of the invited those in `i`. `h` are highlighted. */
export interface NotifyOutcome {
  readonly x: readonly number[]
  readonly h: readonly number[]
  readonly i?: readonly number[]
  /** The root of the thread that the event is in; absent in the main timeline. */
  readonly t?: string
  /** Whether the event was taken back since, and is not counted. */
  readonly gone?: true
}

/** What comes of an event. */
export interface Notified {
  /** The outcome as JSON text, null where the event notifies nobody. */
  readonly outcome: string | null
  /** Those of the notified who have pushers. */
  readonly pushes: readonly PushTarget[]
}

/** What an event is evaluated by. */
export interface NotifyingNews extends Pick<EventNews, 'event' | 'memberships' | 'push' | 'thread'> {
  readonly sender: string
}

/** Of what is no news to anybody. */
export const nobodyNotified: Notified = { outcome: null, pushes: [] }

/** Evaluates an event for the joined users of this shard, and for those whom it invites. */
export function notified(
  hub: HubContext,
  roomId: string,
  members: JoinedMembers,
  news: NotifyingNews,
): Notified {
  const event = readEvent({ ...news.event, room_id: roomId })
  const [x, h, i, pushes]: [number[], number[], number[], PushTarget[]] = [[], [], [], []]
  const evaluated = (uid: number, displayName: string | null): boolean => {
    const { notify, highlight, actions } = evaluate(pushRulesetOf(hub, uid), event, {
      userId: userIdOf(hub, uid),
      ...(displayName === null ? {} : { displayName }),
      memberCount: news.push.memberCount,
      senderPowerLevel: news.push.senderPowerLevel,
      notificationLevels: news.push.notificationLevels,
    })
    if (!notify || ignoredUsers(hub, uid).includes(news.sender)) return false
    if (highlight) h.push(uid)
    if (isPushedTo(hub, uid)) pushes.push({ uid, actions })
    return true
  }
  for (const [uid, displayName] of members) if (!evaluated(uid, displayName)) x.push(uid)
  for (const uid of invited(hub, members, news)) if (evaluated(uid, null)) i.push(uid)
  const outcome: NotifyOutcome = {
    x,
    h,
    ...(i.length > 0 ? { i } : {}),
    ...(news.thread === undefined ? {} : { t: news.thread }),
  }
  return { outcome: x.length < members.size || i.length > 0 ? JSON.stringify(outcome) : null, pushes }
}

// They are in no room yet, and are notified of nothing else; and of invites that they are not shown not either.
function invited(
  hub: HubContext,
  members: JoinedMembers,
  { event, memberships, sender }: NotifyingNews,
): number[] {
  const inviter = parseUserId(sender)
  return memberships
    .filter(({ userId, prev, next }) => next === 'invite' && prev !== next && event['state_key'] === userId)
    .map(({ userId }) => internUser(hub, userId))
    .filter((uid) => !members.has(uid))
    .filter((uid) => inviter === undefined || invitePermissionOf(hub, uid)(inviter) === 'allow')
}
