// New events of local users: parents, auth events and depth from the room's live end, then hash and signature.
// Specification: server-server API, "PDUs", "Auth events selection"; room versions 1-12, "Event format".

import { randomBytes } from 'node:crypto'
import { MatrixError } from '../errors.ts'
import { encodeBase64, encodeUrlSafeBase64 } from '../matrix/base64.ts'
import { CanonicalJsonError } from '../matrix/canonical-json.ts'
import type { Event, UserId } from '../matrix/event.ts'
import { authEventSlots } from '../matrix/event-auth/auth-events.ts'
import { checkEventFormat, parseEvent } from '../matrix/event-format.ts'
import { referenceHash } from '../matrix/event-hash.ts'
import { signEvent } from '../matrix/event-signature.ts'
import type { JsonObject, JsonValue } from '../matrix/json.ts'
import { identity, type RoomContext, type Signer } from './context.ts'
import { eventByEid } from './events.ts'
import type { NewEventPlace } from './new-event-place.ts'
import type { ResolvedState } from './resolve-state.ts'
import { eidInDelta } from './state-at.ts'

/** What a local user wants to say; everything else follows from the room. */
export interface EventDraft {
  readonly type: string
  readonly sender: UserId
  readonly state_key?: string
  readonly content: JsonObject
  readonly redacts?: string
  /** Milliseconds; the clock's now where absent. */
  readonly origin_server_ts?: number
}

export interface BuiltEvent {
  readonly event: Event
  readonly auth: readonly number[]
}

// Depth is capped at what canonical JSON can carry.
const maxDepth = Number.MAX_SAFE_INTEGER

/**
 * Builds, hashes and signs an event at a place, with auth events from the state there.
 * M_BAD_JSON for content that is not canonical JSON, M_TOO_LARGE for an event of more than 65,536 bytes.
 */
export function buildEvent(
  room: RoomContext,
  signer: Signer,
  draft: EventDraft,
  place: NewEventPlace,
): BuiltEvent {
  const { fields, auth } = eventFields(room, draft, place)
  // Versions 1 and 2 carry their id; the domain is the server that made the event.
  if (identity(room).rules.eventId === 'field') {
    fields['event_id'] = `$${encodeUrlSafeBase64(randomBytes(18))}:${room.serverName}`
  }
  return { event: signed(room, signer, fields), auth }
}

/**
 * The event as it would stand at a place, neither hashed nor signed, with the eids of its auth events.
 * Also what another server is handed to sign (`make_join` and its like).
 */
export function eventFields(
  room: RoomContext,
  draft: EventDraft,
  { prev, before }: NewEventPlace,
): { fields: JsonObject; auth: readonly number[] } {
  const { roomId, rules } = identity(room)
  const auth = selectAuthEvents(room, draft, before)
  const depth = Math.min(maxDepth, Math.max(0, ...prev.map((eid) => eventByEid(room, eid).event.depth)) + 1)
  const fields: JsonObject = {
    type: draft.type,
    sender: draft.sender,
    room_id: roomId,
    content: redactionContent(room, draft),
    origin_server_ts: draft.origin_server_ts ?? room.now(),
    depth,
    auth_events: references(room, auth),
    prev_events: references(room, prev),
  }
  if (draft.state_key !== undefined) fields['state_key'] = draft.state_key
  // Up to version 10 the target of a redaction stands at the top of the event.
  if (draft.redacts !== undefined && !rules.redactsInContent) fields['redacts'] = draft.redacts
  return { fields, auth }
}

function redactionContent(room: RoomContext, draft: EventDraft): JsonObject {
  if (draft.redacts === undefined || !identity(room).rules.redactsInContent) return draft.content
  return { ...draft.content, redacts: draft.redacts }
}

/** Hashes and signs; refuses what would not be a valid event. */
export function signed(room: RoomContext, signer: Signer, fields: JsonObject): Event {
  const { rules } = identity(room)
  let pdu: JsonObject
  try {
    pdu = signEvent(fields, rules, room.serverName, signer.keyId, signer.key)
  } catch (error) {
    if (error instanceof CanonicalJsonError) throw new MatrixError('M_BAD_JSON', 400, error.message)
    throw error
  }
  const verdict = checkEventFormat(pdu, rules)
  if (!verdict.ok) {
    throw verdict.rule === 'event-size'
      ? new MatrixError('M_TOO_LARGE', 413, verdict.reason)
      : new MatrixError('M_BAD_JSON', 400, verdict.reason)
  }
  return parseEvent(pdu, rules)
}

function selectAuthEvents(room: RoomContext, draft: EventDraft, before: ResolvedState): number[] {
  const { rules } = identity(room)
  return authEventSlots(rules, draft).flatMap(({ type, state_key: stateKey }) => {
    const eid = eidInDelta(room, before, type, stateKey)
    return eid === 0 ? [] : [eid]
  })
}

// Versions 1 and 2 reference events by id and hash, later ones by id alone.
function references(room: RoomContext, eids: readonly number[]): JsonValue[] {
  const { rules } = identity(room)
  return eids.map((eid) => {
    const { event } = eventByEid(room, eid)
    if (rules.eventId !== 'field') return event.event_id
    return [event.event_id, { sha256: encodeBase64(referenceHash(event.pdu, rules)) }]
  })
}
