// The shapes of room events inside the core. Ids are branded: a plain string is not an id until checked.
// Specification: server-server API, PDUs; room versions 1-12, "Event format".

import type { JsonObject } from './json.ts'

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

export type EventId = Branded<'EventId'>
export type RoomId = Branded<'RoomId'>
export type UserId = Branded<'UserId'>
export type RoomAlias = Branded<'RoomAlias'>
export type ServerName = Branded<'ServerName'>

/**
 * A room event with what differs between room versions made equal: `event_id` and `room_id` are always there
 * (computed where the wire form has none), references are plain event ids (room versions 1 and 2 carry pairs on
 * the wire), `redacts` is lifted from content in room version 11 and later.
 * `pdu` is the wire form itself: what is signed, hashed and sent to other servers.
 */
export interface Event {
  readonly event_id: EventId
  readonly room_id: RoomId
  readonly type: string
  readonly state_key?: string
  readonly sender: UserId
  readonly content: JsonObject
  readonly origin_server_ts: number
  readonly depth: number
  readonly auth_events: readonly EventId[]
  readonly prev_events: readonly EventId[]
  readonly redacts?: EventId
  readonly pdu: JsonObject
}

/** A slot of the room state: `(type, state_key)`. */
export interface StateSlot {
  readonly type: string
  readonly state_key: string
}

/** Looks up the event in a slot of some room state. */
export type StateLookup = (type: string, stateKey: string) => Event | undefined

/** What a check in the core answers. `rule` names the rule for logs and tests, `reason` is a sentence. */
export type Verdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly rule: string; readonly reason: string }

export const accept: Verdict = { ok: true }

/** A refusal by a named rule. */
export function reject(rule: string, reason: string): Verdict {
  return { ok: false, rule, reason }
}
