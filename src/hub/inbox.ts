// What rooms tell this shard: one log row an event, the memberships of its users, the outcome of their push rules.
// Idempotent: a room repeats what it is not sure about, and what was applied is skipped.

import type { RoomId, UserId } from '../matrix/event.ts'
import type { Pusher } from '../push/context.ts'
import { announceToRoom } from './announce-keys.ts'
import { bumpStampFrom } from './bump-stamp.ts'
import { nextPosition, transact, type HubContext } from './context.ts'
import { endTypingOfGone } from './end-typing.ts'
import { findRoom, internRoom, internUser } from './interned.ts'
import { joinedMembers, forgetMembers } from './members.ts'
import { earlierMemberships } from './membership-history.ts'
import { nobodyNotified, notified } from './notify.ts'
import { applyOtherMembers, type OtherMember, renameOtherMembers } from './other-members.ts'
import { queueNews, startPushes } from './pushes.ts'
import { badgesBefore, pushBadges, readerBySending } from './read-by-sending.ts'
import { rememberNews } from './recent-news.ts'
import { keepFacts } from './room-facts.ts'
import { forgetUnshared, keptMembers } from './remote-keys.ts'
import type { EventNews, MembershipNews, RoomNews } from './room-news.ts'
import { carryOver } from './room-upgrades.ts'
import { countNoMore } from './taken-back.ts'
import { unreadMayHaveChanged } from './unread-total.ts'
import { markNews, wake } from './waiters.ts'

interface QueuedNews {
  readonly news: RoomNews
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

const queues = new WeakMap<HubContext, QueuedNews[]>()

/**
 * Applies news of a room together with what other rooms tell in the same turn of the event loop: one commit to disk
 * serves them all, which doubles what a busy server takes. Resolves when the news are applied.
 */
export function queueRoomNews(hub: HubContext, news: RoomNews): Promise<void> {
  return new Promise((done, failed) => {
    const queue = queues.get(hub) ?? []
    queue.push({ news, done, failed })
    if (queue.length > 1) return
    queues.set(hub, queue)
    setTimeout(() => {
      queues.delete(hub)
      for (const queued of queue) applyQueued(hub, queued)
    }, 0)
  })
}

// Each has a transaction of its own, so that one that fails takes no other with it.
function applyQueued(hub: HubContext, { news, done, failed }: QueuedNews): void {
  try {
    applyRoomNews(hub, news)
    done()
  } catch (error) {
    failed(error)
  }
}

/** Applies news of a room and wakes those who wait for it. All of it becomes true together. */
function applyRoomNews(hub: HubContext, { roomId, events, members, facts }: RoomNews): void {
  const concerned = new Set<number>()
  const queued: Pusher[] = []
  const rid = internRoom(hub, roomId)
  const known = appliedUpTo(hub, rid)
  const fresh = events.filter(({ to }) => to > known)
  const badges = badgesBefore(hub, fresh)
  transact(hub, () => {
    // A shard that was told of events has the members.
    if (members && known === 0) applyOtherMembers(hub, rid, members)
    for (const news of fresh) {
      for (const uid of applyEvent(hub, rid, roomId, news, queued)) concerned.add(uid)
      rememberNews(hub, rid, news)
    }
    if (facts) keepFacts(hub, rid, facts)
    for (const uid of carryOver(hub, rid, fresh)) concerned.add(uid)
  })
  rememberApplied(hub, rid, Math.max(known, events.at(-1)?.to ?? 0))
  for (const news of fresh) shareKeys(hub, rid, news)
  for (const news of fresh) endTypingOfGone(hub, rid, news)
  for (const uid of concerned) markNews(hub, uid)
  for (const uid of concerned) unreadMayHaveChanged(hub, uid, rid)
  pushBadges(hub, badges)
  for (const uid of concerned) wake(hub, uid)
  startPushes(hub, queued)
}

/** What comes of joins and leaves for the keys that are kept of others, and for what others are told. */
function shareKeys(hub: HubContext, rid: number, { memberships, others = [] }: EventNews): void {
  forgetUnshared(
    hub,
    others.filter(({ joined }) => !joined).map(({ userId }) => userId),
  )
  if (memberships.some(({ prev, next }) => prev === 'join' && next !== 'join')) {
    forgetUnshared(hub, keptMembers(hub, rid))
  }
  for (const { userId, prev, next } of memberships) {
    if (prev !== 'join' && next === 'join') announceToRoom(hub, internUser(hub, userId), rid)
  }
}

const applied = new WeakMap<HubContext, Map<number, number>>()
const rememberedRooms = 10_000

/** The position in a room up to which this shard was told, 0 for an unknown room. */
export function appliedUpTo(hub: HubContext, rid: number): number {
  const known = applied.get(hub)?.get(rid)
  if (known !== undefined) return known
  const row = hub.sql
    .exec<{ to_pos: number }>('SELECT to_pos FROM log WHERE rid = ? ORDER BY pos DESC LIMIT 1', rid)
    .toArray()[0]
  return row?.to_pos ?? 0
}

// Only what is committed is remembered: after a rolled back transaction the log is asked again.
function rememberApplied(hub: HubContext, rid: number, position: number): void {
  const positions = applied.get(hub) ?? new Map<number, number>()
  if (positions.size >= rememberedRooms) positions.clear()
  positions.set(rid, position)
  applied.set(hub, positions)
}

/** Returns the users who have news by this event. `queued` gets the pushers that have something to send. */
function applyEvent(
  hub: HubContext,
  rid: number,
  roomId: RoomId,
  news: EventNews,
  queued: Pusher[],
): number[] {
  const before = joinedMembers(hub, rid)
  const changes = news.memberships.filter((change) => change.prev !== change.next)
  const [first, ...more] = [...changes, ...othersToLog(before.size > 0, news)].map(loggedChange)
  const position = nextPosition(hub)
  if (news.takenBack !== undefined) countNoMore(hub, rid, news.takenBack)
  const { outcome, pushes } = news.hidden ? nobodyNotified : notified(hub, roomId, before, news)
  insertLog(hub, position, rid, news, {
    change: first,
    notify: outcome,
    bump: bumpStampFrom(hub, rid, news, position),
  })
  queued.push(...queueNews(hub, { position, rid }, roomId, news, pushes))
  for (const change of news.memberships) applyMembership(hub, rid, news, change, position)
  if (news.others) applyOtherMembers(hub, rid, news.others)
  if (news.renamed) renameOtherMembers(hub, rid, news.renamed)
  // A resolution can change several memberships at once; each has a row to be found by.
  for (const change of more) insertMembershipLog(hub, rid, news, change)
  if (news.memberships.length > 0) forgetMembers(hub, rid)
  const changed = news.memberships.map(({ userId }) => internUser(hub, userId))
  return [...new Set([...before.keys(), ...changed])]
}

// Who comes into a room is told of all who are in it: nobody else is there to be told.
function othersToLog(watched: boolean, { others = [] }: EventNews): readonly OtherMember[] {
  return watched ? others : []
}

/** A change as a row of the log has it. */
interface LoggedChange {
  readonly user?: UserId
  readonly other?: UserId
  readonly prev: string | null
  readonly next: string | null
}

function loggedChange(change: MembershipNews | OtherMember): LoggedChange {
  if ('prev' in change) return { user: change.userId, prev: change.prev, next: change.next }
  const [prev, next] = change.joined ? [null, 'join'] : ['join', null]
  return { other: change.userId, prev, next }
}

function insertLog(
  hub: HubContext,
  position: number,
  rid: number,
  news: EventNews,
  outcome: {
    readonly change: LoggedChange | undefined
    readonly notify: string | null
    readonly bump: number
  },
): void {
  const { change, notify, bump } = outcome
  const reader = readerBySending(hub, news) ?? null
  hub.sql.exec(
    `INSERT INTO log
       (pos, rid, from_pos, to_pos, event_id, uid, other, prev, next, notify, bump, reader, reader_thread)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    position,
    rid,
    news.from,
    news.to,
    news.eventId,
    change?.user === undefined ? null : internUser(hub, change.user),
    change?.other ?? null,
    change?.prev ?? null,
    change?.next ?? null,
    notify,
    bump,
    reader,
    reader === null ? null : (news.thread ?? null),
  )
}

function insertMembershipLog(hub: HubContext, rid: number, news: EventNews, change: LoggedChange): void {
  hub.sql.exec(
    'INSERT INTO log (pos, rid, from_pos, to_pos, uid, other, prev, next) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    nextPosition(hub),
    rid,
    news.to,
    news.to,
    change.user === undefined ? null : internUser(hub, change.user),
    change.other ?? null,
    change.prev,
    change.next,
  )
}

function applyMembership(
  hub: HubContext,
  rid: number,
  news: EventNews,
  change: MembershipNews,
  position: number,
): void {
  const uid = internUser(hub, change.userId)
  if (change.prev === change.next) {
    // The same membership with another profile.
    hub.sql.exec(
      'UPDATE user_room SET display_name = ? WHERE uid = ? AND rid = ?',
      change.displayName ?? null,
      uid,
      rid,
    )
    return
  }
  hub.sql.exec(
    `INSERT INTO user_room (uid, rid, membership, log_pos, room_pos, display_name, stripped, by_other, earlier)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (uid, rid) DO UPDATE SET membership = excluded.membership, log_pos = excluded.log_pos,
       room_pos = excluded.room_pos, display_name = excluded.display_name, stripped = excluded.stripped,
       by_other = excluded.by_other, forgotten = 0, earlier = excluded.earlier`,
    uid,
    rid,
    change.next ?? 'leave',
    position,
    news.to,
    change.displayName ?? null,
    change.stripped ? JSON.stringify(change.stripped) : null,
    news.sender === change.userId ? 0 : 1,
    earlierMemberships(hub, uid, rid, change),
  )
}

/**
 * The room position that a sync token of this shard stands for: the last event of the room that had been told then.
 * 0 for a room that was not known yet.
 */
export function roomPositionAt(
  hub: HubContext,
  roomId: Parameters<typeof findRoom>[1],
  position: number,
): number {
  const rid = findRoom(hub, roomId)
  if (rid === undefined) return 0
  const row = hub.sql
    .exec<{ to_pos: number }>(
      'SELECT to_pos FROM log WHERE rid = ? AND pos <= ? ORDER BY pos DESC LIMIT 1',
      rid,
      position,
    )
    .toArray()[0]
  return row?.to_pos ?? 0
}
