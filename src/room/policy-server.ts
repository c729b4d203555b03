// What the policy server of the room has to say about an event. The room does not ask it: whoever brings the event is told that
// the signature is missing, asks, hands the answer in and calls again. Answers and the events that they are about are kept
// in memory for that while: what is lost with the object is asked for once more.
// Specification: server-server API, "Policy Servers".

import { MatrixError } from '../errors.ts'
import { authorise } from '../matrix/event-auth/authorise.ts'
import { checkEventFormat } from '../matrix/event-format.ts'
import type { Event, EventId, ServerName } from '../matrix/event.ts'
import type { JsonValue } from '../matrix/json.ts'
import {
  concernsPolicyServer,
  hasPolicySignature,
  parsePolicyServer,
  type PolicyServer,
  withPolicySignature,
} from '../matrix/policy-server.ts'
import { stateBefore } from './append.ts'
import type { EventDraft } from './build-event.ts'
import { canonicalEqual } from './canonical-equal.ts'
import { identity, type RoomContext } from './context.ts'
import { findEvent } from './events.ts'
import { isServerInRoom } from './joined-servers.ts'
import type { NewEventPlace } from './new-event-place.ts'
import { currentEvent, currentState, stateLookup } from './state-at.ts'

/** The signature that a policy server gave an event, null where it gave none. */
export type PolicyAnswer = string | null

/** An event that the policy server has to be asked about. */
export interface UnsignedEvent {
  readonly eventId: EventId
  readonly via: ServerName
  /** The event as JSON text. */
  readonly text: string
}

/** Thrown for an event that lacks the signature. Over RPC it keeps `unsigned`, but not its class. */
export class PolicySignatureMissing extends MatrixError {
  readonly unsigned: UnsignedEvent

  constructor(unsigned: UnsignedEvent) {
    super('M_FORBIDDEN', 403, 'The policy server of the room has not signed this event')
    this.unsigned = unsigned
  }
}

interface Memory {
  readonly answers: Map<EventId, { readonly answer: PolicyAnswer; readonly until: number }>
  /** Events of ours that wait for the signature. */
  readonly drafts: Map<EventId, { readonly draft: EventDraft; readonly event: Event; readonly until: number }>
}

const keptMs = 2 * 60_000
const mostKept = 200
const memories = new WeakMap<RoomContext, Memory>()

function memoryOf(room: RoomContext): Memory {
  const known = memories.get(room)
  if (known) return known
  const fresh: Memory = { answers: new Map(), drafts: new Map() }
  memories.set(room, fresh)
  return fresh
}

function remember<T extends { readonly until: number }>(
  room: RoomContext,
  entries: Map<EventId, T>,
  eventId: EventId,
  entry: T,
): void {
  entries.delete(eventId)
  entries.set(eventId, entry)
  for (const [id, { until }] of entries) {
    if (entries.size <= mostKept && until > room.now()) break
    entries.delete(id)
  }
}

/** The policy server that the room uses now: one that it names and that has a user in it. */
export function policyServer(room: RoomContext): PolicyServer | undefined {
  const named = parsePolicyServer(currentEvent(room, 'm.room.policy')?.content)
  // Nobody is made a policy server who has not come for it.
  return named && isServerInRoom(room, named.via) ? named : undefined
}

/** Takes the answer in that a policy server gave about an event. */
export function policyAnswered(room: RoomContext, eventId: EventId, answer: PolicyAnswer): void {
  remember(room, memoryOf(room).answers, eventId, { answer, until: room.now() + keptMs })
}

/**
 * The event as it may be kept, with the signature of the policy server where the room has one; `unsigned` where the policy
 * server has to be asked, `refused` where that has come to nothing.
 */
export function recommended(room: RoomContext, event: Event): Event | 'unsigned' | 'refused' {
  if (!concernsPolicyServer(event)) return event
  const policy = policyServer(room)
  const { rules } = identity(room)
  if (!policy || hasPolicySignature(event.pdu, rules, policy)) return event
  const known = memoryOf(room).answers.get(event.event_id)
  if (!known || known.until <= room.now()) return 'unsigned'
  if (known.answer === null) return 'refused'
  const pdu = withPolicySignature(event.pdu, policy.via, known.answer)
  return hasPolicySignature(pdu, rules, policy) ? { ...event, pdu } : 'refused'
}

/** What to ask the policy server. */
export function unsignedEvent(room: RoomContext, event: Event): UnsignedEvent {
  const policy = policyServer(room)
  if (!policy) throw new Error('the room has no policy server')
  // What others have noted beside it is nothing to be signed.
  const { unsigned: _, ...pdu } = event.pdu
  return { eventId: event.event_id, via: policy.via, text: JSON.stringify(pdu) }
}

/** Refuses a new event of ours that lacks the signature, and keeps it for the next call. Throws PolicySignatureMissing. */
export function requireRecommended(room: RoomContext, draft: EventDraft, event: Event): void {
  if (recommended(room, event) === event) return
  remember(room, memoryOf(room).drafts, event.event_id, { draft, event, until: room.now() + keptMs })
  throw new PolicySignatureMissing(unsignedEvent(room, event))
}

export interface SignedDraft {
  readonly event: Event
  readonly auth: readonly number[]
  readonly place: NewEventPlace
}

/**
 * The event that was made of the same draft before and has its signature by now; undefined where there is none. M_FORBIDDEN
 * where it may not stand any more, for the room has gone on; M_TOO_LARGE.
 */
export function signedDraft(room: RoomContext, draft: EventDraft): SignedDraft | undefined {
  const known = memories.get(room)
  if (!known || known.drafts.size === 0) return undefined
  for (const entry of known.drafts.values()) {
    if (entry.until <= room.now() || !isSameDraft(entry.draft, draft)) continue
    // What was kept in the end has had its turn.
    if (findEvent(room, entry.event.event_id)) continue
    const event = recommended(room, entry.event)
    const placed = typeof event === 'string' ? undefined : place(room, event)
    if (placed) return placed
  }
  return undefined
}

function isSameDraft(a: EventDraft, b: EventDraft): boolean {
  const facts = ({ type, sender, state_key: stateKey, content, redacts, ...rest }: EventDraft): JsonValue => [
    type,
    sender,
    stateKey ?? null,
    redacts ?? null,
    rest.origin_server_ts ?? null,
    content,
  ]
  return canonicalEqual(facts(a), facts(b))
}

function place(room: RoomContext, event: Event): SignedDraft | undefined {
  const { rules } = identity(room)
  const prev = event.prev_events.flatMap((id) => findEvent(room, id)?.eid ?? [])
  const auth = event.auth_events.flatMap((id) => findEvent(room, id)?.eid ?? [])
  // It was to follow another event of the same call, which was made anew.
  if (prev.length < event.prev_events.length || auth.length < event.auth_events.length) return undefined
  const verdict = authorise(rules, event, stateLookup(room, currentState(room)))
  if (!verdict.ok) throw new MatrixError('M_FORBIDDEN', 403, verdict.reason)
  const format = checkEventFormat(event.pdu, rules)
  if (!format.ok) throw new MatrixError('M_TOO_LARGE', 413, format.reason)
  return { event, auth, place: { prev, before: stateBefore(room, prev) } }
}
