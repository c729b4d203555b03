// Create events of rooms whose id is the hash of that event: signed before the room's own object exists.
// Specification: room version 12, "Room IDs"; server-server API, "Signing Events".

import { MatrixError } from '../errors.ts'
import { CanonicalJsonError } from '../matrix/canonical-json.ts'
import type { ServerName, UserId } from '../matrix/event.ts'
import { checkEventFormat } from '../matrix/event-format.ts'
import { signEvent } from '../matrix/event-signature.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { RoomVersionRules } from '../matrix/room-version.ts'
import type { SigningKey } from '../matrix/signing.ts'

/** What differs between create events. */
export interface CreateRequest {
  readonly creator: UserId
  readonly content: JsonObject
  readonly rules: RoomVersionRules
}

export interface CreateSigner {
  readonly serverName: ServerName
  readonly keyId: string
  readonly key: SigningKey
}

/**
 * A time for a create event, in milliseconds: later than that of any before it. Two rooms that are made alike in the
 * same millisecond would otherwise be one.
 */
export function nextCreateTime(sql: SqlStorage, now: number): number {
  return sql
    .exec<{ ts: number }>(
      `INSERT INTO last_create (id, ts) VALUES (1, ?1)
       ON CONFLICT (id) DO UPDATE SET ts = max(ts + 1, excluded.ts) RETURNING ts`,
      now,
    )
    .one().ts
}

/** The whole signed event. M_BAD_JSON for content that is not canonical JSON, M_TOO_LARGE. */
export function signCreate(
  signer: CreateSigner,
  { creator, content, rules }: CreateRequest,
  ts: number,
): JsonObject {
  const fields: JsonObject = {
    type: 'm.room.create',
    state_key: '',
    sender: creator,
    content,
    origin_server_ts: ts,
    depth: 1,
    auth_events: [],
    prev_events: [],
  }
  const pdu = signed(signer, fields, rules)
  const verdict = checkEventFormat(pdu, rules)
  if (verdict.ok) return pdu
  throw verdict.rule === 'event-size'
    ? new MatrixError('M_TOO_LARGE', 413, verdict.reason)
    : new MatrixError('M_BAD_JSON', 400, `creation_content: ${verdict.reason}`)
}

function signed(
  { serverName, keyId, key }: CreateSigner,
  fields: JsonObject,
  rules: RoomVersionRules,
): JsonObject {
  try {
    return signEvent(fields, rules, serverName, keyId, key)
  } catch (error) {
    if (!(error instanceof CanonicalJsonError)) throw error
    throw new MatrixError('M_BAD_JSON', 400, `creation_content: ${error.message}`)
  }
}
