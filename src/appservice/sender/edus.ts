// What is ephemeral, in memory until it is sent: who types, how far somebody has read, who is there. Of each the last word
// counts, so that little waits, however long the application service is away.
// Specification: application service API, "Pushing ephemeral data"; MSC2409.

import type { PresenceContent } from '../../hub/presence.ts'
import type { EventId, RoomId, UserId } from '../../matrix/event.ts'
import { childObject, type JsonObject } from '../../matrix/json.ts'

export interface TypingEdu {
  readonly type: 'm.typing'
  readonly roomId: RoomId
  readonly userId: UserId
  readonly typing: boolean
  /** After so many milliseconds the user is not typing any more, whatever is said. */
  readonly timeout: number
}

export interface ReceiptEdu {
  readonly type: 'm.receipt'
  readonly roomId: RoomId
  readonly userId: UserId
  readonly receipt: 'm.read' | 'm.read.private'
  readonly eventId: EventId
  /** Milliseconds. */
  readonly ts: number
  readonly threadId?: string
}

export interface PresenceEdu {
  readonly userId: UserId
  readonly content: PresenceContent
}

interface KnownPresence {
  readonly content: PresenceContent
  /** When it was so, in milliseconds. */
  readonly at: number
}

export interface EduQueue {
  /** Room → who types there, with the end of it in milliseconds. */
  readonly typing: Map<RoomId, Map<UserId, number>>
  /** Rooms where that has changed. */
  readonly typingRooms: Set<RoomId>
  readonly receipts: Map<string, ReceiptEdu>
  readonly presence: Map<UserId, KnownPresence>
  /** What was said last, by which a repetition is known. */
  readonly lastReceipts: Map<string, EventId>
  readonly lastPresence: Map<UserId, string>
}

// Bounds on memory.
const mostRemembered = 10_000
const mostWaiting = 1_000

/** An empty queue. */
export function newEduQueue(): EduQueue {
  return {
    typing: new Map(),
    typingRooms: new Set(),
    receipts: new Map(),
    presence: new Map(),
    lastReceipts: new Map(),
    lastPresence: new Map(),
  }
}

/** Whether anything waits. */
export function hasEdus({ typingRooms, receipts, presence }: EduQueue): boolean {
  return typingRooms.size + receipts.size + presence.size > 0
}

/** Takes over that somebody types, or has stopped. Answers whether that is news. */
export function addTyping(
  queue: EduQueue,
  { roomId, userId, typing, timeout }: TypingEdu,
  now: number,
): boolean {
  const users = queue.typing.get(roomId) ?? new Map<UserId, number>()
  const was = (users.get(userId) ?? 0) > now
  if (typing) users.set(userId, now + timeout)
  else users.delete(userId)
  if (users.size > 0) queue.typing.set(roomId, users)
  else queue.typing.delete(roomId)
  if (was === typing) return false
  queue.typingRooms.add(roomId)
  return true
}

/** Notes that somebody has said nothing for too long, if that is so. Answers whether it is. */
export function endTyping(queue: EduQueue, { roomId, userId }: TypingEdu, now: number): boolean {
  const end = queue.typing.get(roomId)?.get(userId)
  if (end === undefined || end > now) return false
  queue.typing.get(roomId)?.delete(userId)
  queue.typingRooms.add(roomId)
  return true
}

/** Takes over a receipt. */
export function addReceipt(queue: EduQueue, receipt: ReceiptEdu): void {
  const { roomId, userId, receipt: type, threadId = '', eventId } = receipt
  const key = JSON.stringify([roomId, userId, type, threadId])
  if (queue.lastReceipts.get(key) === eventId) return
  put(queue.lastReceipts, key, eventId, mostRemembered)
  put(queue.receipts, key, receipt, mostWaiting)
}

/** Takes over who somebody is shown to be. Every shard of the Hub may tell it. */
export function addPresence(queue: EduQueue, { userId, content }: PresenceEdu, now: number): void {
  const { last_active_ago: _, ...shown } = content
  const key = JSON.stringify(Object.entries(shown).toSorted(([a], [b]) => (a < b ? -1 : 1)))
  if (queue.lastPresence.get(userId) === key) return
  put(queue.lastPresence, userId, key, mostRemembered)
  put(queue.presence, userId, { content, at: now }, mostWaiting)
}

/** Puts an entry at the end, and drops the oldest where there are too many. */
function put<K, V>(map: Map<K, V>, key: K, value: V, most: number): void {
  map.delete(key)
  const oldest = map.size >= most ? map.keys().next() : undefined
  if (oldest?.done === false) map.delete(oldest.value)
  map.set(key, value)
}

/** Takes out what waits, at most so many of each kind, in the form of /sync with the room where there is one. */
export function takeEdus(queue: EduQueue, most: number, now: number): JsonObject[] {
  const { typingRooms, receipts, presence } = queue
  const typing = [...typingRooms].slice(0, most)
  const read = [...receipts].slice(0, most)
  const present = [...presence].slice(0, most)
  for (const roomId of typing) typingRooms.delete(roomId)
  for (const [key] of read) receipts.delete(key)
  for (const [userId] of present) presence.delete(userId)
  return [
    ...typing.map((roomId) => typingEvent(queue, roomId, now)),
    ...receiptEvents(read.map(([, receipt]) => receipt)),
    ...present.map(([userId, known]) => presenceEvent(userId, known, now)),
  ]
}

function typingEvent({ typing }: EduQueue, roomId: RoomId, now: number): JsonObject {
  const users = [...(typing.get(roomId) ?? [])].filter(([, end]) => end > now)
  return { type: 'm.typing', room_id: roomId, content: { user_ids: users.map(([userId]) => userId) } }
}

function receiptEvents(receipts: readonly ReceiptEdu[]): JsonObject[] {
  return [...Map.groupBy(receipts, ({ roomId }) => roomId)].map(([roomId, ofRoom]) => {
    const content: JsonObject = {}
    // Where a user has both kinds on one event, the one for the whole room says more: it comes last.
    const ordered = ofRoom.toSorted(
      (a, b) => Number(a.threadId === undefined) - Number(b.threadId === undefined),
    )
    for (const { eventId, receipt, userId, ts, threadId } of ordered) {
      const users = childObject(childObject(content, eventId), receipt)
      users[userId] = { ts, ...(threadId === undefined ? {} : { thread_id: threadId }) }
    }
    return { type: 'm.receipt', room_id: roomId, content }
  })
}

function presenceEvent(sender: UserId, { content, at }: KnownPresence, now: number): JsonObject {
  const { last_active_ago: ago } = content
  return {
    type: 'm.presence',
    sender,
    content: { ...content, ...(ago === undefined ? {} : { last_active_ago: ago + Math.max(0, now - at) }) },
  }
}
