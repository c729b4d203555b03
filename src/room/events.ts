// Reading and writing rows of the events table, with a cache of parsed events shared by the rooms of an isolate.

import { MatrixError } from '../errors.ts'
import type { Event, EventId } from '../matrix/event.ts'
import { parseEvent } from '../matrix/event-format.ts'
import type { JsonObject } from '../matrix/json.ts'
import { identity, type RoomContext } from './context.ts'

/** Accepted events are in the timeline; the others are kept, but never enter state or timelines. */
export const eventStatus = { accepted: 0, softFailed: 1, rejected: 2, outlier: 3 } as const
export type EventStatus = (typeof eventStatus)[keyof typeof eventStatus]

/** Eids from here on are outliers, not positions. */
export const firstOutlier = 2 ** 50

export interface EventRow {
  readonly eid: number
  readonly event_id: EventId
  readonly json: string
  readonly status: EventStatus
  readonly slot: number | null
  readonly auth: string
  readonly prev: string
  readonly state_before: number
  readonly state_after: number
  readonly heads: string
  readonly txn: string | null
  readonly redacted_by: number | null
  readonly [column: string]: SqlStorageValue
}

/** An event with what this server knows about it. */
export interface StoredEvent {
  readonly eid: number
  readonly event: Event
  readonly status: EventStatus
  readonly slot: number | null
  readonly auth: readonly number[]
  readonly prev: readonly number[]
  readonly stateBefore: number
  readonly stateAfter: number
  readonly txn: string | null
  readonly redactedBy: number | null
}

// One byte-capped cache per isolate: Durable Objects of a script share its memory. A Map keeps insertion order, so
// the first key is the one that was not used for longest.
const cache = new Map<string, { stored: StoredEvent; bytes: number }>()
const cacheLimit = 12 * 1024 * 1024
let cacheBytes = 0

function remember(key: string, stored: StoredEvent, jsonLength: number): void {
  // A parsed event takes a few times the memory of its text.
  const bytes = jsonLength * 3 + 400
  cache.set(key, { stored, bytes })
  cacheBytes += bytes
  for (const [oldest, entry] of cache) {
    if (cacheBytes <= cacheLimit) return
    cache.delete(oldest)
    cacheBytes -= entry.bytes
  }
}

function forget(key: string): void {
  const entry = cache.get(key)
  if (!entry) return
  cache.delete(key)
  cacheBytes -= entry.bytes
}

/** Caches an event that is being written. */
export function rememberEvent(room: RoomContext, stored: StoredEvent, jsonLength: number): void {
  remember(`${room.cacheKey}:${stored.eid}`, stored, jsonLength)
}

/** Drops what is cached of an event whose row changes. */
export function forgetEvent(room: RoomContext, eid: number): void {
  forget(`${room.cacheKey}:${eid}`)
}

/** The event with this eid. Throws when there is none: eids come from this database alone. */
export function eventByEid(room: RoomContext, eid: number): StoredEvent {
  const stored = eventAt(room, eid)
  if (!stored) throw new Error(`no event with eid ${eid}`)
  return stored
}

/** The event at a position, undefined where there is none: positions are left out where events are missing. */
export function eventAt(room: RoomContext, eid: number): StoredEvent | undefined {
  const key = `${room.cacheKey}:${eid}`
  const cached = cache.get(key)
  if (cached) {
    cache.delete(key)
    cache.set(key, cached)
    return cached.stored
  }
  const row = room.sql.exec<EventRow>('SELECT * FROM events WHERE eid = ?', eid).toArray()[0]
  return row && storedEvent(room, row)
}

/** The event with this id, or undefined. */
export function findEvent(room: RoomContext, eventId: string): StoredEvent | undefined {
  const row = room.sql.exec<EventRow>('SELECT * FROM events WHERE event_id = ?', eventId).toArray()[0]
  return row && storedEvent(room, row)
}

/** The accepted event with this id. M_NOT_FOUND otherwise. */
export function acceptedEvent(room: RoomContext, eventId: string): StoredEvent {
  const stored = findEvent(room, eventId)
  if (!stored || stored.status !== eventStatus.accepted) {
    throw new MatrixError('M_NOT_FOUND', 404, 'Event not found')
  }
  return stored
}

/** A row as a stored event; cached. */
export function storedEvent(room: RoomContext, row: EventRow): StoredEvent {
  const key = `${room.cacheKey}:${row.eid}`
  const cached = cache.get(key)
  if (cached) return cached.stored
  // Rows hold only what `appendEvent` wrote: checked events and lists of eids.
  const pdu = JSON.parse(row.json) as JsonObject
  const stored: StoredEvent = {
    eid: row.eid,
    event: { ...parseEvent(pdu, identity(room).rules, row.event_id), room_id: identity(room).roomId },
    status: row.status,
    slot: row.slot,
    auth: eids(row.auth),
    prev: eids(row.prev),
    stateBefore: row.state_before,
    stateAfter: row.state_after,
    txn: row.txn,
    redactedBy: row.redacted_by,
  }
  remember(key, stored, row.json.length)
  return stored
}

/** Reads a JSON list of eids as this module's tables hold them. */
export function eids(text: string): readonly number[] {
  return JSON.parse(text) as number[]
}

/**
 * Accepted events in a range of positions (both ends included), at most `limit` of them, in the given direction. The
 * `eid` of what is returned is its position, also for events that were known as outliers before they got one.
 */
export function eventsBetween(
  room: RoomContext,
  lowest: number,
  highest: number,
  direction: 'f' | 'b',
  limit: number,
): StoredEvent[] {
  const order = direction === 'f' ? 'ASC' : 'DESC'
  const live = room.sql
    .exec<EventRow>(
      `SELECT * FROM events WHERE eid BETWEEN ? AND ? AND status = 0 ORDER BY eid ${order} LIMIT ?`,
      lowest,
      Math.min(highest, firstOutlier - 1),
      limit,
    )
    .toArray()
    .map((row) => storedEvent(room, row))
  if (!hasHistory(room)) return live
  const backFilled = room.sql
    .exec<{ pos: number; eid: number }>(
      `SELECT pos, eid FROM history WHERE pos BETWEEN ? AND ? ORDER BY pos ${order} LIMIT ?`,
      lowest,
      highest,
      limit,
    )
    .toArray()
    .map(({ pos, eid }) => ({ ...eventByEid(room, eid), eid: pos }))
  const sign = direction === 'f' ? 1 : -1
  return [...live, ...backFilled].sort((a, b) => sign * (a.eid - b.eid)).slice(0, limit)
}

function hasHistory(room: RoomContext): boolean {
  room.hasHistory ??= room.sql.exec('SELECT 1 FROM history LIMIT 1').toArray().length > 0
  return room.hasHistory
}

/** An event with its position as `eid`, undefined for an outlier that has no place in the timeline. */
export function inTimeline(room: RoomContext, stored: StoredEvent): StoredEvent | undefined {
  if (stored.eid < firstOutlier) return stored
  const row = room.sql
    .exec<{ pos: number }>('SELECT pos FROM history WHERE eid = ? LIMIT 1', stored.eid)
    .toArray()[0]
  return row && { ...stored, eid: row.pos }
}

/** The highest live position, 0 in an empty room. */
export function livePosition(room: RoomContext): number {
  room.live.position ??= readLiveEnd(room).position
  return room.live.position
}

/** The forward extremities, as eids. */
export function forwardExtremities(room: RoomContext): readonly number[] {
  room.live.heads ??= readLiveEnd(room).heads
  return room.live.heads
}

/** The ids of the forward extremities. */
export function extremityIds(room: RoomContext): EventId[] {
  return forwardExtremities(room).map((eid) => eventByEid(room, eid).event.event_id)
}

/** How far each sink was told when the last event was appended. */
export function toldAtLiveEnd(room: RoomContext): Readonly<Record<string, number>> {
  room.live.told ??= readLiveEnd(room).told
  return room.live.told
}

function readLiveEnd(room: RoomContext) {
  const row = room.sql
    .exec<{ eid: number; heads: string; told: string | null }>(
      'SELECT eid, heads, told FROM events WHERE eid < ? ORDER BY eid DESC LIMIT 1',
      firstOutlier,
    )
    .toArray()[0]
  if (!row) return { position: 0, heads: [], told: {} }
  // Written by `appendEvent` alone.
  return {
    position: row.eid,
    heads: eids(row.heads),
    told: JSON.parse(row.told ?? '{}') as Record<string, number>,
  }
}
