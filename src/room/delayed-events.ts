// Events that are to be sent later: a row each, until they are due, sent at once or cancelled, and for some days after that.
// What sends them is in send-delayed.ts. Not in the specification yet: MSC4140.

import { MatrixError } from '../errors.ts'
import type { EventId, UserId } from '../matrix/event.ts'
import { canonicalJson, CanonicalJsonError } from '../matrix/canonical-json.ts'
import type { JsonObject } from '../matrix/json.ts'
import { transact } from './append.ts'
import { checkClientContent } from './client-content.ts'
import { type ClientTransaction, transactionKey } from './client-event.ts'
import { identity, findIdentity, type RoomContext } from './context.ts'
import { armAlarm } from './outbox.ts'
import { requireJoined } from './room-power.ts'

export interface DelayRequest {
  /** Random: whoever knows it may cancel, restart or send the event. */
  readonly delayId: string
  readonly sender: UserId
  readonly type: string
  readonly stateKey?: string
  readonly content: JsonObject
  /** Milliseconds. */
  readonly delay: number
  /** The same transaction of a device is the same delayed event. */
  readonly transaction?: ClientTransaction
  /** How many delayed events the sender may have scheduled in this room. */
  readonly most: number
}

/** A row of the table. */
export interface DelayedEvent {
  readonly delay_id: string
  readonly sender: UserId
  readonly type: string
  readonly state_key: string | null
  readonly content: string
  readonly delay: number
  readonly since: number
  readonly due: number
  /** When it was sent or cancelled, null as long as it is scheduled. */
  readonly finalised: number | null
  readonly event_id: EventId | null
  readonly error: string | null
  readonly [column: string]: SqlStorageValue
}

const largestContent = 65_536

/**
 * Schedules an event. Returns its delay id, that of the same request before where there was one. Whether the sender may send
 * it is asked when it is sent. M_FORBIDDEN for those who are not joined, M_LIMIT_EXCEEDED, and what the content is refused for.
 */
export function scheduleDelayed(room: RoomContext, request: DelayRequest): string {
  const { delayId, sender, type, stateKey, content, delay, transaction } = request
  requireJoined(room, sender)
  const txn = transaction ? transactionKey(sender, transaction) : null
  const known = delayIdOfTransaction(room, txn)
  if (known !== undefined) return known
  checkContent(room, request)
  checkLimit(room, sender, request.most)
  const now = room.now()
  transact(room, () => {
    room.sql.exec(
      `INSERT INTO delayed_events (delay_id, sender, type, state_key, content, delay, since, due, txn)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      delayId,
      sender,
      type,
      stateKey ?? null,
      JSON.stringify(content),
      delay,
      now,
      now + delay,
      txn,
    )
    armAlarm(room, delay)
  })
  return delayId
}

function delayIdOfTransaction(room: RoomContext, txn: string | null): string | undefined {
  if (txn === null) return undefined
  return room.sql
    .exec<{ delay_id: string }>('SELECT delay_id FROM delayed_events WHERE txn = ?', txn)
    .toArray()[0]?.delay_id
}

function checkContent(room: RoomContext, { sender, type, stateKey, content }: DelayRequest): void {
  const { rules } = identity(room)
  checkClientContent(room, {
    sender,
    type,
    content,
    ...(stateKey === undefined ? {} : { state_key: stateKey }),
  })
  try {
    const text = canonicalJson(content, { strict: rules.strictCanonicalJson })
    if (Buffer.byteLength(text) > largestContent) {
      throw new MatrixError('M_TOO_LARGE', 413, 'The content is larger than an event may be')
    }
  } catch (error) {
    if (error instanceof CanonicalJsonError) throw new MatrixError('M_BAD_JSON', 400, error.message)
    throw error
  }
}

function checkLimit(room: RoomContext, sender: UserId, most: number): void {
  const scheduled = scheduledBy(room, sender)
  if (scheduled.length < most) return
  // When the next of them is sent, there is room for another.
  const next = scheduled[0]?.due ?? room.now() + 60_000
  throw new MatrixError('M_LIMIT_EXCEEDED', 429, 'You have too many delayed events scheduled', {
    retry_after_ms: Math.max(1000, next - room.now()),
  })
}

function scheduledBy(room: RoomContext, sender: UserId): DelayedEvent[] {
  return room.sql
    .exec<DelayedEvent>(
      'SELECT * FROM delayed_events WHERE finalised IS NULL AND sender = ? ORDER BY due',
      sender,
    )
    .toArray()
}

/** The events that a user has scheduled in the room, the next first, as the JSON texts of a list. */
export function delayedEventsOf(room: RoomContext, sender: UserId): string[] {
  if (!findIdentity(room)) return []
  return scheduledBy(room, sender).map((row) => JSON.stringify(delayedEventJson(room, row)))
}

/** How many events a user has scheduled in the room. */
export function countDelayed(room: RoomContext, sender: UserId): number {
  return findIdentity(room) ? scheduledBy(room, sender).length : 0
}

/** A delayed event of a user as JSON text, also one that was sent or cancelled some days ago. M_NOT_FOUND. */
export function readDelayed(room: RoomContext, sender: UserId, delayId: string): string {
  const row = delayedEvent(room, delayId)
  if (row.sender !== sender) throw delayNotFound()
  return JSON.stringify(delayedEventJson(room, row))
}

function delayedEventJson(room: RoomContext, row: DelayedEvent): JsonObject {
  return {
    delay_id: row.delay_id,
    room_id: identity(room).roomId,
    type: row.type,
    ...(row.state_key === null ? {} : { state_key: row.state_key }),
    delay: row.delay,
    running_since: row.since,
    // Written by `scheduleDelayed` alone.
    content: JSON.parse(row.content) as JsonObject,
    ...(row.finalised === null ? {} : { origin_server_ts: row.finalised }),
    ...(row.event_id === null ? {} : { event_id: row.event_id }),
    // Written by `finalise` alone.
    ...(row.error === null ? {} : { error: JSON.parse(row.error) as JsonObject }),
  }
}

/** A delayed event. M_NOT_FOUND if there is none with this id. */
export function delayedEvent(room: RoomContext, delayId: string): DelayedEvent {
  const row = findDelayed(room, delayId)
  if (!row) throw delayNotFound()
  return row
}

/** A delayed event, or undefined. */
export function findDelayed(room: RoomContext, delayId: string): DelayedEvent | undefined {
  if (!findIdentity(room)) return undefined
  return room.sql.exec<DelayedEvent>('SELECT * FROM delayed_events WHERE delay_id = ?', delayId).toArray()[0]
}

/** The answer to a delay id that nothing is known of. */
export function delayNotFound(): MatrixError {
  return new MatrixError('M_NOT_FOUND', 404, 'There is no such delayed event')
}
