// Telling the Hub shards about new events: once right after the commit, before the client is answered, and again by
// the alarm for a shard that could not be reached. Sends that come while a shard is being told ride on its next call.

import { config } from '../config.ts'
import { hubStub } from '../env.ts'
import type { EventNews, MembershipNews, PushFacts } from '../hub/room-news.ts'
import { errorMessage, log } from '../log.ts'
import type { UserId } from '../matrix/event.ts'
import { isJsonObject, objectProperty, stringProperty } from '../matrix/json.ts'
import { notificationLevel, powerLevelsContent, userPowerLevel } from '../matrix/power-levels.ts'
import { delayIdOf, syncEvent, transactionOf } from './client-event.ts'
import { identity, type RoomContext } from './context.ts'
import { isHidden } from './dummy-event.ts'
import {
  eventAt,
  eventByEid,
  eventsBetween,
  eventStatus,
  findEvent,
  livePosition,
  type StoredEvent,
} from './events.ts'
import { hasOtherServers } from './joined-servers.ts'
import { memberCounts, membershipChanges, type MembershipChange } from './member-counts.ts'
import { membersBefore } from './members-before.ts'
import { othersOf } from './others-of-shard.ts'
import { acknowledge, armAlarm, soonMs, toldUpTo } from './outbox.ts'
import { changesFacts, roomFacts } from './room-facts.ts'
import { senderMember } from './sender-member.ts'
import { stateLookup } from './state-at.ts'
import { strippedState } from './stripped-state.ts'
import { mainTimeline, threadOf } from './thread-of.ts'

// Keeps a call far below the RPC message limit: an event has at most 64 KiB.
const eventsPerCall = 100

/**
 * Remembers on which Hub shard a local user lives. Call before the first event that concerns them, in the same
 * transaction: the shard is told from that event on.
 */
export function registerLocalUser(room: RoomContext, userId: UserId, shard: number): void {
  // With a single shard there is nothing to remember.
  if (config(room.env).hubShards === 1) return
  const known = room.sql.exec('SELECT 1 FROM local_users WHERE shard = ? LIMIT 1', shard).toArray().length > 0
  room.sql.exec('INSERT OR IGNORE INTO local_users VALUES (?, ?)', userId, shard)
  if (known) return
  acknowledge(room, sinkOf(shard), livePosition(room))
  room.sql.exec('INSERT OR IGNORE INTO sinks VALUES (?, ?)', sinkOf(shard), livePosition(room))
}

/** Tells all shards everything up to now. Never throws: what fails is left to the alarm. Resolves to whether all were told. */
export async function tellHubs(room: RoomContext): Promise<boolean> {
  const upTo = livePosition(room)
  const results = await Promise.all(shardsOf(room).map((shard) => tellShard(room, shard, upTo)))
  return results.every(Boolean)
}

/** Whether every shard was told everything. */
export function hubsAreTold(room: RoomContext): boolean {
  return shardsOf(room).every((shard) => toldUpTo(room, sinkOf(shard)) >= livePosition(room))
}

function shardsOf(room: RoomContext): number[] {
  if (config(room.env).hubShards === 1) return [0]
  return room.sql
    .exec<{ shard: number }>('SELECT DISTINCT shard FROM local_users')
    .toArray()
    .map((row) => row.shard)
}

function sinkOf(shard: number): string {
  return `hub-${shard}`
}

async function tellShard(room: RoomContext, shard: number, upTo: number): Promise<boolean> {
  try {
    while (toldUpTo(room, sinkOf(shard)) < upTo) {
      const running = room.telling.get(shard) ?? startTelling(room, shard)
      await running
    }
    return true
  } catch (error) {
    log({ event: 'fan_out_failed', room_id: identity(room).roomId, shard, error: errorMessage(error) })
    armAlarm(room, soonMs)
    return false
  }
}

function startTelling(room: RoomContext, shard: number): Promise<void> {
  const running = tellNext(room, shard).finally(() => room.telling.delete(shard))
  room.telling.set(shard, running)
  return running
}

async function tellNext(room: RoomContext, shard: number): Promise<void> {
  const from = toldUpTo(room, sinkOf(shard))
  const live = livePosition(room)
  const { events, last } = untold(room, from, live)
  // What clients are not shown is no news, unless it has changed the state.
  const told = events.filter(({ event, eid }) => !isHidden(event) || changesState(room, eid))
  if (told.length > 0) {
    const news = told.map((stored) => eventNews(room, stored, shard))
    const federated = hasOtherServers(room)
    const before = membersBefore(room, sinkOf(shard), from)
    await hubStub(room.env, shard).applyRoomNews({
      roomId: identity(room).roomId,
      events: news,
      federated,
      ...(before ? { members: before.filter(({ userId }) => !isOfShard(room, userId, shard)) } : {}),
      ...(before || tellsFacts(room, from, told) ? { facts: roomFacts(room) } : {}),
    })
  }
  acknowledge(room, sinkOf(shard), last)
}

// What the room is was never told, may have changed, or came along with a join from outside.
function tellsFacts(room: RoomContext, told: number, events: readonly StoredEvent[]): boolean {
  return (
    told === 0 ||
    events.some((stored) => changesFacts(stored) || firstPositionOf(room, stored) !== stored.eid)
  )
}

/** The next accepted events after `told`, and the position up to which they are all. */
export function untold(
  room: RoomContext,
  told: number,
  live: number,
): { events: StoredEvent[]; last: number } {
  if (live - told > eventsPerCall) {
    const events = eventsBetween(room, told + 1, live, 'f', eventsPerCall)
    return { events, last: events.length < eventsPerCall ? live : (events.at(-1)?.eid ?? live) }
  }
  // The usual few: still in memory from being written.
  const events = Array.from({ length: live - told }, (_, i) => eventAt(room, told + 1 + i))
    .filter((stored) => stored !== undefined)
    .filter(({ status }) => status === eventStatus.accepted)
  return { events, last: live }
}

function eventNews(room: RoomContext, stored: StoredEvent, shard: number): EventNews {
  const { event, eid } = stored
  const resolved = stored.stateBefore !== eid - 1 || stored.stateAfter !== eid
  // A plain message on the line changes no state.
  const changes =
    stored.slot === null && !resolved ? [] : membershipChanges(room, firstPositionOf(room, stored), eid)
  const transaction = transactionOf(stored)
  const delayId = delayIdOf(stored)
  const member = senderMember(room, stored)
  return {
    from: eid - 1,
    to: eid,
    eventId: event.event_id,
    sender: event.sender,
    event: syncEvent(room, stored),
    ...(transaction
      ? { transaction: { userId: transaction[0], deviceId: transaction[1], txnId: transaction[2] } }
      : {}),
    ...(delayId === undefined ? {} : { delayId }),
    resolved: resolved || isHidden(event),
    ...(isHidden(event) ? { hidden: true } : {}),
    ...(member ? { senderMember: member } : {}),
    ...threadNews(room, stored),
    ...redactionNews(room, stored),
    memberships: changes
      .filter((change) => isOfShard(room, change.userId, shard))
      .map((change) => membershipNews(room, stored, change)),
    ...othersOf(
      room,
      changes.filter(({ userId }) => !isOfShard(room, userId, shard)),
    ),
    push: pushFacts(room, stored),
  }
}

function threadNews(room: RoomContext, { event }: StoredEvent): Pick<EventNews, 'thread'> {
  const thread = threadOf(room, event)
  return thread === mainTimeline ? {} : { thread }
}

// Not every redaction takes effect, and not every one when it comes.
function redactionNews(room: RoomContext, { event, eid }: StoredEvent): Pick<EventNews, 'takenBack'> {
  const target = event.redacts === undefined ? undefined : findEvent(room, event.redacts)
  return target?.redactedBy === eid ? { takenBack: target.event.event_id } : {}
}

function changesState(room: RoomContext, eid: number): boolean {
  return room.sql.exec('SELECT 1 FROM state WHERE pos = ? LIMIT 1', eid).toArray().length > 0
}

// A join from outside lays the room's state down at a position of its own, just before its event.
function firstPositionOf(room: RoomContext, { eid, event, prev }: StoredEvent): number {
  if (prev.length === event.prev_events.length && (eid === 1 || eventAt(room, eid - 1))) return eid
  const row = room.sql
    .exec<{ eid: number | null }>('SELECT max(eid) AS eid FROM events WHERE eid < ?', eid)
    .one()
  return (row.eid ?? 0) + 1
}

// Each shard is told about its own users alone.
function isOfShard(room: RoomContext, userId: string, shard: number): boolean {
  if (!userId.endsWith(`:${room.serverName}`)) return false
  if (config(room.env).hubShards === 1) return true
  return (
    room.sql.exec('SELECT 1 FROM local_users WHERE user_id = ? AND shard = ?', userId, shard).toArray()
      .length > 0
  )
}

function membershipNews(room: RoomContext, stored: StoredEvent, change: MembershipChange): MembershipNews {
  const content = change.eid === 0 ? undefined : eventByEid(room, change.eid).event.content
  const displayName = stringProperty(content, 'displayname')
  const shown = change.next === 'invite' || change.next === 'knock'
  // The slot's state key is a local user id: it was checked when the event was.
  const userId = change.userId as UserId
  return {
    userId,
    prev: change.prev,
    next: change.next,
    ...(displayName === undefined ? {} : { displayName }),
    ...(shown
      ? { stripped: strippedState(room, stored.eid, [...new Set([stored.event.sender, userId])]) }
      : {}),
  }
}

/** What push rules ask about an event. */
export function pushFacts(room: RoomContext, stored: StoredEvent): PushFacts {
  const { rules } = identity(room)
  const state = stateLookup(room, stored.stateBefore)
  const content = powerLevelsContent(state)
  const named = Object.keys(objectProperty(content, 'notifications') ?? {})
  const keys = isJsonObject(content) ? [...new Set(['room', ...named])] : ['room']
  return {
    memberCount: memberCounts(room).joined,
    senderPowerLevel: userPowerLevel(rules, stored.event.sender, state),
    notificationLevels: Object.fromEntries(keys.map((key) => [key, notificationLevel(rules, content, key)])),
    ...nonEmpty('roomName', stringProperty(state('m.room.name', '')?.content, 'name')),
    ...nonEmpty('roomAlias', stringProperty(state('m.room.canonical_alias', '')?.content, 'alias')),
  }
}

function nonEmpty(key: 'roomName' | 'roomAlias', text: string | undefined): Partial<PushFacts> {
  return text === undefined || text === '' ? {} : { [key]: text }
}
