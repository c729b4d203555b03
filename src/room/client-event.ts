// Events as clients see them. Specification: client-server API, "Room event format", "Types of room events".

import type { Event } from '../matrix/event.ts'
import { type JsonObject, stringProperty } from '../matrix/json.ts'
import { identity, type RoomContext } from './context.ts'
import { eventByEid, type StoredEvent } from './events.ts'
import { eidInState, eventInState, knowsState, type StateRef } from './state-at.ts'
import { viewOf } from './visibility.ts'

/** Who looks at an event: decides what of `unsigned` is theirs. */
export interface Viewer {
  readonly userId: string
  readonly deviceId?: string | undefined
  /** Users whose events the viewer does not want to see, nor have counted in what is aggregated for them. */
  readonly ignored?: readonly string[]
}

/** Whether an event is kept from a viewer who ignores its sender. State is what it is for everybody. */
export function isIgnoredBy({ ignored = [] }: Viewer, { event }: StoredEvent): boolean {
  return event.state_key === undefined && ignored.includes(event.sender)
}

/** The member of `unsigned` that names the delayed event. */
export const delayIdField = 'org.matrix.msc4140.delay_id'

/** Whose transaction ids are unique: those of a device, or of an application service that acts as none. */
export type TransactionScope = { readonly deviceId: string } | { readonly appserviceId: string }

/** What of a request makes it the same one once more. `path` is what of the HTTP path comes after the room. */
export type ClientTransaction = TransactionScope & { readonly txnId: string; readonly path: string }

/** The key under which a local send's transaction id is unique in the room. */
export function transactionKey(userId: string, transaction: ClientTransaction): string {
  const { txnId, path } = transaction
  // No device has an empty id.
  return 'deviceId' in transaction
    ? JSON.stringify([userId, transaction.deviceId, txnId, path])
    : JSON.stringify([userId, '', txnId, path, transaction.appserviceId])
}

/** The key in its place under which a delayed event is sent once. */
export function delayedKey(delayId: string): string {
  return JSON.stringify({ delayId })
}

/** Who sent an event in which transaction, from the key above. */
export function transactionOf(
  stored: StoredEvent,
): readonly [userId: string, deviceId: string, txnId: string] | undefined {
  const key = keyOf(stored)
  return Array.isArray(key) ? key : undefined
}

/** The delay id of an event that was sent with a delay. */
export function delayIdOf(stored: StoredEvent): string | undefined {
  const key = keyOf(stored)
  return key && 'delayId' in key ? key.delayId : undefined
}

function keyOf({ txn }: StoredEvent): [string, string, string] | { readonly delayId: string } | undefined {
  // Written by `transactionKey` and `delayedKey` alone.
  return txn === null ? undefined : (JSON.parse(txn) as ReturnType<typeof keyOf>)
}

/** The event for a client, without `room_id` (as /sync gives it). */
export function syncEvent(room: RoomContext, stored: StoredEvent, viewer?: Viewer): JsonObject {
  const { event } = stored
  const result: JsonObject = {
    type: event.type,
    event_id: event.event_id,
    sender: event.sender,
    origin_server_ts: event.origin_server_ts,
    content: clientContent(event),
    unsigned: unsigned(room, stored, viewer),
  }
  if (event.state_key !== undefined) result['state_key'] = event.state_key
  if (event.redacts !== undefined) result['redacts'] = event.redacts
  return result
}

// Since room version 11 `redacts` stands in the content, before it stood at the top. Clients of old and of today find it in
// both places, whatever the version. Room version 11, "Moving the redacts property".
function clientContent({ content, redacts }: Event): JsonObject {
  return redacts === undefined ? content : { ...content, redacts }
}

/** The event for a client, with `room_id`. */
export function clientEvent(room: RoomContext, stored: StoredEvent, viewer?: Viewer): JsonObject {
  return { ...syncEvent(room, stored, viewer), room_id: identity(room).roomId }
}

function unsigned(room: RoomContext, stored: StoredEvent, viewer: Viewer | undefined): JsonObject {
  const result: JsonObject = { age: Math.max(0, room.now() - stored.event.origin_server_ts) }
  if (stored.slot !== null) addReplaced(room, stored, stored.slot, viewer, result)
  if (stored.redactedBy !== null) {
    result['redacted_because'] = clientEvent(room, eventByEid(room, stored.redactedBy), viewer)
  }
  if (!viewer) return result
  // Since v1.11: the viewer's own membership just after the event, on its branch of the room. Nobody knows that of
  // events which came along with a join, as state alone.
  if (knowsState(stored)) {
    result['membership'] = membershipIn(room, viewer.userId, stored.stateAfter) ?? 'leave'
  }
  const transaction = transactionOf(stored)
  // Only the device that sent an event is told its transaction id.
  if (transaction && transaction[0] === viewer.userId && transaction[1] === viewer.deviceId) {
    result['transaction_id'] = transaction[2]
  }
  // MSC4140: the sender alone, on any device, is told which delayed event it was.
  const delayId = stored.event.sender === viewer.userId ? delayIdOf(stored) : undefined
  if (delayId !== undefined) result[delayIdField] = delayId
  return result
}

function membershipIn(room: RoomContext, userId: string, state: StateRef): string | undefined {
  return stringProperty(eventInState(room, state, 'm.room.member', userId)?.content, 'membership')
}

function addReplaced(
  room: RoomContext,
  stored: StoredEvent,
  slot: number,
  viewer: Viewer | undefined,
  result: JsonObject,
): void {
  const eid = eidInState(room, stored.stateBefore, slot)
  if (eid === 0 || eid === stored.eid) return
  const replaced = eventByEid(room, eid)
  result['replaces_state'] = replaced.event.event_id
  // Since v1.19: the id goes to everyone, what it said only to those who may see the event replaced.
  if (viewer && !maySeeReplaced(room, viewer.userId, stored, replaced)) return
  result['prev_content'] = replaced.event.content
  result['prev_sender'] = replaced.event.sender
}

// Members may read whatever is in the state, and everybody knows what they were themselves.
function maySeeReplaced(
  room: RoomContext,
  userId: string,
  { event, stateBefore }: StoredEvent,
  replaced: StoredEvent,
): boolean {
  if (event.type === 'm.room.member' && event.state_key === userId) return true
  return membershipIn(room, userId, stateBefore) === 'join' || viewOf(room, userId).sees(replaced)
}

/** Stripped state as invites and knocks carry it: type, state_key, sender and content. */
export function strippedEvent({ event }: StoredEvent): JsonObject {
  return {
    type: event.type,
    state_key: event.state_key ?? '',
    sender: event.sender,
    content: event.content,
  }
}
