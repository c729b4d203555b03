// Memberships of local users in rooms that live on other servers: invites, knocks and what ends them. They are here
// alone; a Room object comes into being only when a user of this server joins.
// Specification: client-server API, "Syncing", "Stripped state"; server-server API, "Inviting to a room".

import type { EventId, RoomId, UserId } from '../matrix/event.ts'
import { type JsonObject, objectProperty, stringProperty } from '../matrix/json.ts'
import type { Pusher } from '../push/context.ts'
import { type HubContext, nextPosition, transact } from './context.ts'
import { appliedUpTo } from './inbox.ts'
import { findRoom, findUser, internRoom, internUser } from './interned.ts'
import { membershipOf } from './members.ts'
import { nobodyNotified, notified } from './notify.ts'
import { queueNews, startPushes } from './pushes.ts'
import { wakeUser } from './waiters.ts'

export interface RemoteMembership {
  readonly roomId: RoomId
  readonly userId: UserId
  readonly membership: 'invite' | 'knock' | 'leave' | 'ban'
  /** The member event. */
  readonly eventId: EventId
  /** For invites and knocks: what the client is shown of the room, the member event among it. */
  readonly stripped?: readonly JsonObject[]
  /** The member event as clients see it. The user's own leave where it is left out. */
  readonly event?: JsonObject
}

/**
 * Applies a membership that another server told of, and wakes the user. Answers whether anything changed: not for an event
 * that was applied before, nor for users who are joined, whose room speaks for itself, nor for a leave of somebody who was
 * neither invited nor knocking.
 */
export function applyRemoteMembership(hub: HubContext, change: RemoteMembership): boolean {
  const { roomId, userId } = change
  if (!isNews(hub, change)) return false
  const present = membershipOf(hub, userId, roomId)
  const rid = internRoom(hub, roomId)
  const uid = internUser(hub, userId)
  const queued = transact(hub, () => write(hub, rid, uid, change, present))
  wakeUser(hub, uid)
  startPushes(hub, queued)
  return true
}

/** Whether `applyRemoteMembership` changes anything. */
export function isNews(hub: HubContext, { roomId, userId, membership, eventId }: RemoteMembership): boolean {
  const present = membershipOf(hub, userId, roomId)
  if (present === 'join') return false
  const ends = membership === 'leave' || membership === 'ban'
  if (ends && present !== 'invite' && present !== 'knock') return false
  const rid = findRoom(hub, roomId)
  const uid = findUser(hub, userId)
  return rid === undefined || uid === undefined || !wasApplied(hub, rid, uid, eventId)
}

function wasApplied(hub: HubContext, rid: number, uid: number, eventId: EventId): boolean {
  return (
    hub.sql
      .exec('SELECT 1 FROM log WHERE rid = ? AND uid = ? AND event_id = ? LIMIT 1', rid, uid, eventId)
      .toArray().length > 0
  )
}

/** The member event as clients see it, undefined where whoever told of it has not shown it. */
export function memberEvent(hub: HubContext, change: RemoteMembership): JsonObject | undefined {
  const { membership, userId, eventId, event } = change
  if (event || membership === 'invite' || membership === 'knock') return event
  return {
    type: 'm.room.member',
    event_id: eventId,
    sender: userId,
    state_key: userId,
    origin_server_ts: hub.now(),
    content: { membership },
  }
}

/** What the client is shown with the membership. */
function shown(hub: HubContext, change: RemoteMembership): JsonObject[] {
  const { membership, stripped } = change
  if (membership === 'invite' || membership === 'knock') return [...(stripped ?? [])]
  const event = memberEvent(hub, change)
  return event ? [event] : []
}

/** An invite as push rules and push gateways look at it; undefined for other memberships. */
function inviteNews({ membership, userId, eventId, stripped = [] }: RemoteMembership, present?: string) {
  const state = (type: string, key: string) =>
    stripped.findLast((event) => event['type'] === type && event['state_key'] === key)
  // The last of all, whatever else the inviting server has shown.
  const event = state('m.room.member', userId)
  if (membership !== 'invite' || !event) return undefined
  const sender = stringProperty(event, 'sender') ?? ''
  const senderMember = state('m.room.member', sender)
  const roomName = stringProperty(objectProperty(state('m.room.name', ''), 'content'), 'name')
  return {
    eventId,
    event,
    sender,
    ...(senderMember ? { senderMember: { event: senderMember, standing: 'unknown' as const } } : {}),
    to: 0,
    memberships: [{ userId, prev: present ?? null, next: membership }],
    // Nobody tells how many are in the room and what they may do; the rule for invites does not ask.
    push: {
      memberCount: 0,
      senderPowerLevel: 0,
      notificationLevels: {},
      ...(roomName === undefined ? {} : { roomName }),
    },
  }
}

/** Returns the pushers that have something to send. */
function write(
  hub: HubContext,
  rid: number,
  uid: number,
  change: RemoteMembership,
  present: string | undefined,
): readonly Pusher[] {
  const { membership, eventId } = change
  const position = nextPosition(hub)
  // The row stands where the room's own news have come to, 0 for a room that never was here: whatever the room tells
  // later goes on from there.
  const roomPosition = appliedUpTo(hub, rid)
  const news = inviteNews(change, present)
  const { outcome, pushes } = news ? notified(hub, change.roomId, new Map(), news) : nobodyNotified
  hub.sql.exec(
    `INSERT INTO log (pos, rid, from_pos, to_pos, event_id, uid, prev, next, notify)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    position,
    rid,
    roomPosition,
    roomPosition,
    eventId,
    uid,
    present ?? null,
    membership,
    outcome,
  )
  hub.sql.exec(
    `INSERT INTO user_room (uid, rid, membership, log_pos, room_pos, stripped) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (uid, rid) DO UPDATE SET membership = excluded.membership, log_pos = excluded.log_pos,
       room_pos = excluded.room_pos, display_name = NULL, stripped = excluded.stripped, forgotten = 0,
       earlier = NULL`,
    uid,
    rid,
    membership,
    position,
    roomPosition,
    JSON.stringify(shown(hub, change)),
  )
  return news ? queueNews(hub, { position, rid }, change.roomId, news, pushes) : []
}
