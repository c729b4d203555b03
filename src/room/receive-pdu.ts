// The road of a remote event: the receipt checks in the order of the specification, then `append.ts`.
// Nothing a caller says is believed: signatures and hashes are verified here, with keys that the caller brought.
// Specification: server-server API, "Checks performed on receipt of a PDU", "Rejection", "Soft failure".

import { authorise } from '../matrix/event-auth/authorise.ts'
import { checkAuthEvents, stateFromAuthEvents, type AuthEvent } from '../matrix/event-auth/auth-events.ts'
import { checkedEvent, parseEvent } from '../matrix/event-format.ts'
import { hasValidContentHash } from '../matrix/event-hash.ts'
import { verifyEventSignatures, type KnownKey } from '../matrix/event-signature.ts'
import type { Event, EventId, Verdict } from '../matrix/event.ts'
import { accept } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { redact } from '../matrix/redaction.ts'
import { appendEvent, stateBefore, transact } from './append.ts'
import { identity, type RoomContext } from './context.ts'
import { eventStatus, findEvent, type EventStatus, type StoredEvent } from './events.ts'
import { currentEvent, currentState, eventInDelta, stateLookup } from './state-at.ts'

/** Keys by server name and key id, as fetched by the caller. */
export interface ServerKeySet {
  readonly [serverName: string]: { readonly [keyId: string]: KnownKey }
}

export type Receipt =
  | { readonly outcome: 'accepted' | 'known'; readonly eventId: EventId }
  | {
      readonly outcome: 'soft-failed' | 'rejected'
      readonly eventId: EventId
      readonly rule: string
      readonly reason: string
    }
  /** Not an event of this room, or not signed as it must be: nothing is kept of it. */
  | { readonly outcome: 'dropped'; readonly rule: string; readonly reason: string }
  /** It builds upon events that are not here: fetch them, hand them in, and hand this one in again. */
  | { readonly outcome: 'incomplete'; readonly eventId: EventId; readonly missing: readonly EventId[] }

/** Receives one PDU of this room. */
export function receivePdu(room: RoomContext, pdu: JsonObject, keys: ServerKeySet): Receipt {
  const { rules, roomId } = identity(room)
  // 1. A valid event of this room's version, else dropped.
  const format = checkedEvent(pdu, rules)
  if (!format.ok) return { outcome: 'dropped', rule: format.rule, reason: format.reason }
  const { event_id: eventId, room_id: eventRoomId } = format.event
  if (eventRoomId !== roomId)
    return { outcome: 'dropped', rule: 'room', reason: 'the event is of another room' }
  const known = findEvent(room, eventId)
  // An outlier that arrives again in its own right gets its place in the timeline by back-fill, not here.
  if (known) return { outcome: 'known', eventId }
  // 2. Signatures, else dropped.
  const signatures = verifyEventSignatures(pdu, rules, (server, keyId) => keyOf(keys, server, keyId))
  if (!signatures.ok) return { outcome: 'dropped', rule: signatures.rule, reason: signatures.reason }
  // 3. Content hash, else redacted before going on.
  const event = hasValidContentHash(pdu, rules)
    ? format.event
    : parseEvent(redact(pdu, rules), rules, eventId)
  const missing = missingEvents(room, event)
  if (missing.length > 0) return { outcome: 'incomplete', eventId, missing }
  return transact(room, () => judge(room, event))
}

function keyOf(keys: ServerKeySet, server: string, keyId: string): KnownKey | undefined {
  const ofServer = Object.hasOwn(keys, server) ? keys[server] : undefined
  return ofServer && Object.hasOwn(ofServer, keyId) ? ofServer[keyId] : undefined
}

function missingEvents(room: RoomContext, event: Event): EventId[] {
  return [...new Set([...event.auth_events, ...event.prev_events])].filter((id) => !findEvent(room, id))
}

function judge(room: RoomContext, event: Event): Receipt {
  const { rules } = identity(room)
  const { event_id: eventId } = event
  const auth = event.auth_events.flatMap((id) => findEvent(room, id) ?? [])
  const prev = event.prev_events.flatMap((id) => findEvent(room, id) ?? [])
  const before = stateBefore(
    room,
    prev.map(({ eid }) => eid),
  )
  const keep = (status: EventStatus) => {
    appendEvent(room, {
      event,
      status,
      auth: auth.map(({ eid }) => eid),
      prev: prev.map(({ eid }) => eid),
      before,
    })
  }
  // 4. The rules by the event's own auth events, else rejected. 5. The rules by the state before it, else rejected.
  const rejected = firstFailure([
    () => judgeByAuthEvents(room, event, auth),
    () => judgeByPrevEvents(prev),
    () => authorise(rules, event, (type, key) => eventInDelta(room, before, type, key)),
  ])
  if (!rejected.ok) {
    keep(eventStatus.rejected)
    return { outcome: 'rejected', eventId, rule: rejected.rule, reason: rejected.reason }
  }
  // 6. The rules by the current state, else soft-failed: kept and built upon by others, but never by us.
  const softFailed = authorise(rules, event, stateLookup(room, currentState(room)))
  if (!softFailed.ok) {
    keep(eventStatus.softFailed)
    return { outcome: 'soft-failed', eventId, rule: softFailed.rule, reason: softFailed.reason }
  }
  keep(eventStatus.accepted)
  return { outcome: 'accepted', eventId }
}

function firstFailure(checks: readonly (() => Verdict)[]): Verdict {
  for (const check of checks) {
    const verdict = check()
    if (!verdict.ok) return verdict
  }
  return accept
}

function judgeByAuthEvents(room: RoomContext, event: Event, auth: readonly StoredEvent[]): Verdict {
  const { rules } = identity(room)
  const cited: AuthEvent[] = auth.map((stored) => ({
    event: stored.event,
    rejected: stored.status === eventStatus.rejected,
  }))
  const selection = checkAuthEvents(rules, event, cited)
  if (!selection.ok) return selection
  const create = currentEvent(room, 'm.room.create')
  // Since v12 the create event is implied by the room id instead of being cited.
  const implied = rules.roomIdIsCreateHash && create ? [create] : []
  return authorise(rules, event, stateFromAuthEvents([...cited.map((entry) => entry.event), ...implied]))
}

// An event without parents would stand beside the create event, judged by an empty state.
function judgeByPrevEvents(prev: readonly StoredEvent[]): Verdict {
  return prev.length > 0
    ? accept
    : { ok: false, rule: 'prev-events', reason: 'the event has no parents and is not the first of the room' }
}
