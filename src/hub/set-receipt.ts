// Setting read receipts. Specification: client-server API, "Receipts"; "Read and unread markers".

import type { EventId, RoomId, UserId } from '../matrix/event.ts'
import { nextPosition, transact, type HubContext } from './context.ts'
import { findUser, internRoom } from './interned.ts'
import { joinedMembers } from './members.ts'
import { hasPushers, pushCount } from './pushes.ts'
import { tellAppservicesReceipt } from './tell-appservices.ts'
import { unreadMayHaveChanged, unreadTotal } from './unread-total.ts'
import { wakeUser } from './waiters.ts'

export interface ReceiptRequest {
  readonly userId: UserId
  readonly roomId: RoomId
  readonly type: 'm.read' | 'm.read.private'
  readonly eventId: EventId
  /** Absent for unthreaded receipts. */
  readonly threadId?: string
  /** Milliseconds. */
  readonly ts: number
  /** The event's position in the room, for shards that may not know the event. */
  readonly position?: number
}

/**
 * Stores a receipt, if it is newer than the one before, and wakes those of this shard who see it. Answers the receipt
 * with its position where others see it too, undefined for private and older ones.
 */
export function setReceipt(hub: HubContext, request: ReceiptRequest): ReceiptRequest | undefined {
  const rid = internRoom(hub, request.roomId)
  const read = roomPositionOf(hub, rid, request.eventId) ?? request.position
  const known = knownReceipt(hub, rid, request)
  const news = { ...request, ...(read === undefined ? {} : { position: read }) }
  const isPrivate = request.type === 'm.read.private'
  // Receipts move forward only. An event that this shard was never told about is taken as it is.
  if (known !== undefined && read !== undefined && read <= known) {
    // One that comes again may not have reached the others.
    return read === known && !isPrivate ? news : undefined
  }
  const own = findUser(hub, request.userId)
  const counting =
    own !== undefined && hasPushers(hub, own) ? { uid: own, was: unreadTotal(hub, own) } : undefined
  transact(hub, () => {
    hub.sql.exec(
      `INSERT OR REPLACE INTO receipts (rid, user_id, type, thread, event_id, ts, room_pos, pos)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      rid,
      request.userId,
      request.type,
      request.threadId ?? '',
      request.eventId,
      request.ts,
      read ?? known ?? 0,
      nextPosition(hub),
    )
  })
  wakeReaders(hub, rid, request)
  // The shard of a user tells of them.
  if (own !== undefined) tellAppservicesReceipt(hub, request)
  if (counting) {
    unreadMayHaveChanged(hub, counting.uid, rid)
    pushCount(hub, counting.uid, counting.was)
  }
  return isPrivate ? undefined : news
}

function knownReceipt(hub: HubContext, rid: number, request: ReceiptRequest): number | undefined {
  return hub.sql
    .exec<{ room_pos: number }>(
      'SELECT room_pos FROM receipts WHERE rid = ? AND user_id = ? AND type = ? AND thread = ?',
      rid,
      request.userId,
      request.type,
      request.threadId ?? '',
    )
    .toArray()[0]?.room_pos
}

function roomPositionOf(hub: HubContext, rid: number, eventId: EventId): number | undefined {
  return hub.sql
    .exec<{ to_pos: number }>(
      'SELECT to_pos FROM log WHERE rid = ? AND event_id = ? ORDER BY pos DESC LIMIT 1',
      rid,
      eventId,
    )
    .toArray()[0]?.to_pos
}

function wakeReaders(hub: HubContext, rid: number, request: ReceiptRequest): void {
  const own = findUser(hub, request.userId)
  // Private receipts are shown to nobody else.
  const readers =
    request.type === 'm.read.private' ? [] : [...joinedMembers(hub, rid).keys()].filter((uid) => uid !== own)
  for (const uid of own === undefined ? readers : [...readers, own]) wakeUser(hub, uid)
}
