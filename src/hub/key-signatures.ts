// Signatures on keys: which of them are shown with a key, and what users have signed of others, which is for themselves alone.
// Specification: client-server API, "Key and signature security".

import type { UserId } from '../matrix/event.ts'
import { type JsonObject, objectProperty } from '../matrix/json.ts'
import type { HubContext } from './context.ts'

/** Key id → signature, all of one user. */
export interface Signatures {
  readonly [keyId: string]: string
}

/** The signatures of a user that an object carries. */
export function ownSignatures(object: JsonObject, userId: UserId): Signatures {
  const own = objectProperty(objectProperty(object, 'signatures'), userId) ?? {}
  return Object.fromEntries(
    Object.entries(own).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

/** A copy of a key that carries these signatures of its user, and nobody else's: who verified whom is not for all to see. */
export function withSignatures(object: JsonObject, userId: UserId, signatures: Signatures): JsonObject {
  const signed = Object.keys(signatures).length > 0
  return { ...object, signatures: signed ? { [userId]: { ...signatures } } : {} }
}

/** What a user has signed of another one. */
export interface UserSignature {
  /** The public half of the master key that was signed. */
  readonly signedKey: string
  readonly signatures: Signatures
}

/** The signature of a user on another's master key. */
export function signatureOn(hub: HubContext, uid: number, target: UserId): UserSignature | undefined {
  const row = hub.sql
    .exec<{ signed_key: string; signatures: string }>(
      'SELECT signed_key, signatures FROM user_signatures WHERE uid = ? AND target = ?',
      uid,
      target,
    )
    .toArray()[0]
  // Written by `uploadSignatures` alone.
  return row && { signedKey: row.signed_key, signatures: JSON.parse(row.signatures) as Signatures }
}

/** The users whose master keys a user has signed in a window of the log: their other devices must be told. */
export function signedSince(hub: HubContext, uid: number, since: number, upTo: number): UserId[] {
  return hub.sql
    .exec<{ target: UserId }>(
      'SELECT target FROM user_signatures WHERE uid = ? AND pos > ? AND pos <= ?',
      uid,
      since,
      upTo,
    )
    .toArray()
    .map(({ target }) => target)
}
