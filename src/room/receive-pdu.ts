// The road of a remote event: the receipt checks in the order of the specification, then `append.ts`.
// Nothing a caller says is believed: signatures and hashes are verified here, with keys that the caller brought.
// Specification: server-server API, "Checks performed on receipt of a PDU", "Rejection", "Soft failure".

import { authorise } from '../matrix/event-auth/authorise.ts'
import { checkAuthEvents, stateFromAuthEvents, type AuthEvent } from '../matrix/event-auth/auth-events.ts'
import { checkedEvent, type FormatLeniency, parseEvent } from '../matrix/event-format.ts'
import { createEventIdOf, hasValidContentHash } from '../matrix/event-hash.ts'
import { verifyEventSignatures, type KnownKey } from '../matrix/event-signature.ts'
import type { Event, EventId, Verdict } from '../matrix/event.ts'
import { accept } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { redact } from '../matrix/redaction.ts'
import { appendEvent, stateBefore, transact } from './append.ts'
import { identity, type RoomContext } from './context.ts'
import { eventStatus, findEvent, type EventStatus, type StoredEvent } from './events.ts'
import { mergeSoon } from './merge-extremities.ts'
import { PolicySignatureMissing, recommended, type UnsignedEvent, unsignedEvent } from './policy-server.ts'
import type { ResolvedState } from './resolve-state.ts'
import { currentEvent, currentState, eventInDelta, knowsState, stateLookup } from './state-at.ts'

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
  /** The room's policy server has not signed it: ask it, hand its answer in, and hand this one in again. */
  | { readonly outcome: 'unsigned'; readonly unsigned: UnsignedEvent; readonly eventId: EventId }

/** What finally became of an event, or what it builds upon. */
export type FinalReceipt = Exclude<Receipt, { readonly outcome: 'unsigned' }>

/** The receipt of an event that is not kept until the policy server was asked. Throws PolicySignatureMissing. */
export function requireSigned(receipt: Receipt): FinalReceipt {
  if (receipt.outcome === 'unsigned') throw new PolicySignatureMissing(receipt.unsigned)
  return receipt
}

/** Receives one PDU of this room. */
export function receivePdu(room: RoomContext, pdu: JsonObject, keys: ServerKeySet): Receipt {
  const checked = checkPdu(room, pdu, keys)
  return 'outcome' in checked ? checked : receiveChecked(room, checked)
}

/** Receives an event that `checkPdu` let through. */
export function receiveChecked(room: RoomContext, event: Event): Receipt {
  const missing = missingFor(room, event)
  if (missing.length > 0) return { outcome: 'incomplete', eventId: event.event_id, missing }
  return transact(room, () => judge(room, event))
}

/** The checks that look at the event alone. Answers the event, redacted where its hash wants it, or what became of it. */
export function checkPdu(
  room: RoomContext,
  pdu: JsonObject,
  keys: ServerKeySet,
  leniency: FormatLeniency = 'received',
): Event | Receipt {
  const { rules, roomId } = identity(room)
  // 1. A valid event of this room's version, else dropped.
  const format = checkedEvent(pdu, rules, leniency)
  if (!format.ok) return { outcome: 'dropped', rule: format.rule, reason: format.reason }
  const { event_id: eventId, room_id: eventRoomId } = format.event
  if (eventRoomId !== roomId)
    return { outcome: 'dropped', rule: 'room', reason: 'the event is of another room' }
  if (findEvent(room, eventId)) return { outcome: 'known', eventId }
  // 2. Signatures, else dropped.
  const signatures = verifyEventSignatures(pdu, rules, (server, keyId) => keyOf(keys, server, keyId))
  if (!signatures.ok) return { outcome: 'dropped', rule: signatures.rule, reason: signatures.reason }
  // 3. Content hash, else redacted before going on.
  return hasValidContentHash(pdu, rules) ? format.event : parseEvent(redact(pdu, rules), rules, eventId)
}

/** A key of a server, if it is there. */
export function keyOf(keys: ServerKeySet, server: string, keyId: string): KnownKey | undefined {
  const ofServer = Object.hasOwn(keys, server) ? keys[server] : undefined
  return ofServer && Object.hasOwn(ofServer, keyId) ? ofServer[keyId] : undefined
}

/** Those of the ids that this server has no event of. */
export function missingEvents(room: RoomContext, ids: readonly EventId[]): EventId[] {
  return [...new Set(ids)].filter((id) => !findEvent(room, id))
}

/** Those of an event's parents without which the state before it is not known. */
export function missingParents(room: RoomContext, { prev_events: parents }: Event): EventId[] {
  return [...new Set(parents)].filter((id) => {
    const stored = findEvent(room, id)
    // An outlier says nothing about the state that it stands in.
    return !stored || !knowsState(stored)
  })
}

/** The same of a PDU as it travels. None for what is no event of this room. */
export function parentsWithoutState(room: RoomContext, pdu: JsonObject): EventId[] {
  const format = checkedEvent(pdu, identity(room).rules, 'received')
  return format.ok ? missingParents(room, format.event) : []
}

/** What has to be here before an event can be judged. */
export function missingFor(room: RoomContext, event: Event): EventId[] {
  return [...new Set([...missingEvents(room, event.auth_events), ...missingParents(room, event)])]
}

/** Judges an event by its auth events, the state before it and the current state, and appends it. */
function judge(room: RoomContext, event: Event): Receipt {
  const prev = event.prev_events.flatMap((id) => findEvent(room, id) ?? []).map(({ eid }) => eid)
  return judgeOnState(room, event, prev, stateBefore(room, prev))
}

/**
 * Steps 4 to 7 of the receipt, on a given state before the event; the event is kept with what came of them, unless the
 * policy server has to be asked first.
 */
export function judgeOnState(
  room: RoomContext,
  event: Event,
  prev: readonly number[],
  before: ResolvedState,
): Receipt {
  const { rules } = identity(room)
  const { event_id: eventId } = event
  const auth = event.auth_events.flatMap((id) => findEvent(room, id) ?? [])
  const keep = (status: EventStatus, kept = event) => {
    appendEvent(room, { event: kept, status, auth: auth.map(({ eid }) => eid), prev, before })
  }
  // 4. The rules by the event's own auth events, else rejected. 5. The rules by the state before it, else rejected.
  const rejected = firstFailure([
    () => judgeByAuthEvents(room, event, auth),
    () => judgeByPrevEvents(event),
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
  // 7. Since v1.18: the signature of the policy server, if the room has one, else soft-failed.
  const signed = recommended(room, event)
  if (signed === 'unsigned') return { outcome: 'unsigned', unsigned: unsignedEvent(room, event), eventId }
  if (signed === 'refused') {
    keep(eventStatus.softFailed)
    const reason = 'the policy server of the room has not signed the event'
    return { outcome: 'soft-failed', eventId, rule: 'policy-server', reason }
  }
  keep(eventStatus.accepted, signed)
  mergeSoon(room)
  return { outcome: 'accepted', eventId }
}

function firstFailure(checks: readonly (() => Verdict)[]): Verdict {
  for (const check of checks) {
    const verdict = check()
    if (!verdict.ok) return verdict
  }
  return accept
}

/** Step 4: the selection of auth events, and the rules by the state that they make up. */
export function judgeByAuthEvents(room: RoomContext, event: Event, auth: readonly StoredEvent[]): Verdict {
  const { rules } = identity(room)
  const cited: AuthEvent[] = auth.map((stored) => ({
    event: stored.event,
    rejected: stored.status === eventStatus.rejected,
  }))
  const selection = checkAuthEvents(rules, event, cited)
  if (!selection.ok) return selection
  const create = createEvent(room)
  // Since v12 the create event is implied by the room id instead of being cited.
  const implied = rules.roomIdIsCreateHash && create ? [create] : []
  return authorise(rules, event, stateFromAuthEvents([...cited.map((entry) => entry.event), ...implied]))
}

// The create event of the current state; while the room is being joined there is none yet, but its id is known.
function createEvent(room: RoomContext): Event | undefined {
  const current = currentEvent(room, 'm.room.create')
  if (current) return current
  const id = createEventIdOf(identity(room).roomId)
  return id === undefined ? undefined : findEvent(room, id)?.event
}

// An event without parents would stand beside the create event, judged by an empty state.
function judgeByPrevEvents({ prev_events: prev }: Event): Verdict {
  return prev.length > 0
    ? accept
    : { ok: false, rule: 'prev-events', reason: 'the event has no parents and is not the first of the room' }
}
