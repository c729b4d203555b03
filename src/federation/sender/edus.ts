// What goes to other servers beside events: EDUs, one registry of their kinds. Those of the registry are kept in
// memory alone.
// Specification: server-server API, "EDUs", "Typing Notifications", "Receipts", "Presence".

import type { EventId, RoomId, UserId } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'

/** Something of a local user for other servers. */
export type OutgoingEdu = RoomEdu | PresenceEdu

/** Something of a local user for the other servers of a room. */
export type RoomEdu = TypingEdu | ReceiptEdu

export interface TypingEdu {
  readonly type: 'm.typing'
  readonly roomId: RoomId
  readonly userId: UserId
  readonly typing: boolean
}

/** A receipt of type `m.read`. Private ones stay here. */
export interface ReceiptEdu {
  readonly type: 'm.receipt'
  readonly roomId: RoomId
  readonly userId: UserId
  readonly eventId: EventId
  /** Milliseconds. */
  readonly ts: number
  /** Absent for unthreaded receipts. */
  readonly threadId?: string
}

/** Who a local user is shown to be, for servers that are named. */
export interface PresenceEdu {
  readonly type: 'm.presence'
  readonly userId: UserId
  readonly presence: string
  /** Milliseconds. */
  readonly lastActiveAgo: number
  readonly currentlyActive: boolean
  readonly statusMsg?: string
}

/** A change of a local user's keys or devices, or messages to devices, for servers that are named: see kept-edus.ts. */
export interface KeptEdu {
  readonly type: 'm.device_list_update' | 'm.signing_key_update' | 'm.direct_to_device'
  /** A newer one of the same type and key replaces an older one that was not sent yet. */
  readonly key: string
  readonly content: JsonObject
}

/** Contents of EDUs, each with the keys of what it says. */
type Packed = { readonly content: JsonObject; readonly keys: readonly string[] }[]

interface EduKind<E> {
  /** A newer one with the same key replaces an older one. */
  readonly key: (edu: E) => string
  /** How long it waits for others to go with it, in milliseconds. */
  readonly delayMs: number
  /** For how long it is worth telling, in milliseconds. */
  readonly lifetimeMs: number
  /** Whether it waits for a destination that cannot be reached. */
  readonly waits: boolean
  readonly pack: (edus: readonly E[]) => Packed
}

type Registry = { readonly [T in OutgoingEdu['type']]: EduKind<Extract<OutgoingEdu, { readonly type: T }>> }

const hour = 60 * 60 * 1000

const registry: Registry = {
  'm.typing': {
    key: ({ roomId, userId }) => `${roomId} ${userId}`,
    delayMs: 0,
    lifetimeMs: 30_000,
    waits: false,
    pack: (edus) =>
      edus.map((edu) => ({
        content: { room_id: edu.roomId, user_id: edu.userId, typing: edu.typing },
        keys: [registry['m.typing'].key(edu)],
      })),
  },
  'm.receipt': {
    key: ({ roomId, userId, threadId = '' }) => `${roomId} ${userId} ${threadId}`,
    delayMs: 500,
    lifetimeMs: 24 * hour,
    waits: true,
    pack: packReceipts,
  },
  'm.presence': {
    key: ({ userId }) => userId,
    delayMs: 0,
    lifetimeMs: 30 * 60_000,
    waits: false,
    pack: packPresence,
  },
}

// One EDU a room. It has a single place a user, so that receipts for several threads need several.
function packReceipts(edus: readonly ReceiptEdu[]): Packed {
  const packed: { roomId: RoomId; users: Map<UserId, JsonObject>; keys: string[] }[] = []
  for (const edu of edus) {
    let free = packed.find(({ roomId, users }) => roomId === edu.roomId && !users.has(edu.userId))
    if (!free) packed.push((free = { roomId: edu.roomId, users: new Map(), keys: [] }))
    free.users.set(edu.userId, receipt(edu))
    free.keys.push(registry['m.receipt'].key(edu))
  }
  return packed.map(({ roomId, users, keys }) => ({
    content: { [roomId]: { 'm.read': Object.fromEntries(users) } },
    keys,
  }))
}

function packPresence(edus: readonly PresenceEdu[]): Packed {
  if (edus.length === 0) return []
  const push = edus.map(({ userId, presence, lastActiveAgo, currentlyActive, statusMsg }) => ({
    user_id: userId,
    presence,
    last_active_ago: lastActiveAgo,
    currently_active: currentlyActive,
    ...(statusMsg === undefined ? {} : { status_msg: statusMsg }),
  }))
  return [{ content: { push }, keys: edus.map(({ userId }) => userId) }]
}

function receipt({ eventId, ts, threadId }: ReceiptEdu): JsonObject {
  return { event_ids: [eventId], data: { ts, ...(threadId === undefined ? {} : { thread_id: threadId }) } }
}

type EduFacts = Pick<EduKind<OutgoingEdu>, 'delayMs' | 'lifetimeMs' | 'waits'> & { readonly key: string }

interface Waiting {
  readonly edu: OutgoingEdu
  readonly key: string
  readonly dueAt: number
  readonly until: number
}

/** The EDUs for one destination, in the order in which they came. */
export type EduQueue = Map<string, Waiting>

// What a destination that is slow or away can make this server keep.
const mostWaiting = 1000

/** Adds an EDU. Returns how long it may wait, in milliseconds; undefined if it is not worth keeping. */
export function addEdu(queue: EduQueue, edu: OutgoingEdu, now: number, failing: boolean): number | undefined {
  const { key, delayMs, lifetimeMs, waits } = facts(edu)
  const queueKey = `${edu.type} ${key}`
  queue.delete(queueKey)
  if (failing && !waits) return undefined
  const oldest = queue.size >= mostWaiting ? queue.keys().next().value : undefined
  if (oldest !== undefined) queue.delete(oldest)
  queue.set(queueKey, { edu, key, dueAt: now + delayMs, until: now + lifetimeMs })
  return delayMs
}

/** Whether one of the EDUs has waited long enough. */
export function eduIsDue(queue: EduQueue, now: number): boolean {
  for (const { dueAt } of queue.values()) if (dueAt <= now) return true
  return false
}

/** Takes up to `limit` EDUs in wire form off the queue, due or not: one transaction can carry them all. */
export function takeEdus(queue: EduQueue, now: number, limit: number): JsonObject[] {
  for (const [key, { until }] of queue) if (until < now) queue.delete(key)
  const edus = [...queue.values()].map(({ edu }) => edu)
  return [...packOf('m.typing', edus), ...packOf('m.receipt', edus), ...packOf('m.presence', edus)]
    .slice(0, limit)
    .map(({ type, content, keys }) => {
      for (const key of keys) queue.delete(`${type} ${key}`)
      return { edu_type: type, content }
    })
}

/** Drops what does not wait for a destination that cannot be reached. */
export function dropFleeting(queue: EduQueue): void {
  for (const [key, { edu }] of queue) if (!facts(edu).waits) queue.delete(key)
}

function facts(edu: OutgoingEdu): EduFacts {
  if (edu.type === 'm.typing') return { ...registry['m.typing'], key: registry['m.typing'].key(edu) }
  if (edu.type === 'm.receipt') return { ...registry['m.receipt'], key: registry['m.receipt'].key(edu) }
  return { ...registry['m.presence'], key: registry['m.presence'].key(edu) }
}

function packOf<T extends OutgoingEdu['type']>(type: T, edus: readonly OutgoingEdu[]) {
  const ofType = edus.filter((edu): edu is Extract<OutgoingEdu, { readonly type: T }> => edu.type === type)
  const kind: EduKind<Extract<OutgoingEdu, { readonly type: T }>> = registry[type]
  return kind.pack(ofType).map((packed) => ({ type, ...packed }))
}
