// Cross-signing keys of local users. Specification: client-server API, "Cross-signing".

import { decodeBase64 } from '../matrix/base64.ts'
import { canonicalJson } from '../matrix/canonical-json.ts'
import type { UserId } from '../matrix/event.ts'
import { type JsonObject, objectProperty, stringProperty } from '../matrix/json.ts'
import type { HubContext } from './context.ts'
import { findUser } from './interned.ts'
import { ownSignatures, type Signatures, withSignatures } from './key-signatures.ts'

interface SigningKeysRow {
  readonly master: string
  readonly master_signatures: string | null
  readonly self_signing: string | null
  readonly user_signing: string | null
  readonly [column: string]: SqlStorageValue
}

/** What a user has uploaded, as it may be shown; `master` carries the signatures of the user's devices. */
export interface SigningKeys {
  readonly master?: JsonObject
  readonly selfSigning?: JsonObject
  readonly userSigning?: JsonObject
}

/** The cross-signing keys of a user. */
export function crossSigningKeys(hub: HubContext, uid: number, userId: UserId): SigningKeys {
  const row = signingKeysRow(hub, uid)
  if (!row) return {}
  // Written here and by `addSignatures` alone.
  const shown = (text: string, later: string | null = null) => {
    const key = JSON.parse(text) as JsonObject
    const added = later === null ? {} : (JSON.parse(later) as Signatures)
    return withSignatures(key, userId, { ...ownSignatures(key, userId), ...added })
  }
  return {
    master: shown(row.master, row.master_signatures),
    ...(row.self_signing === null ? {} : { selfSigning: shown(row.self_signing) }),
    ...(row.user_signing === null ? {} : { userSigning: shown(row.user_signing) }),
  }
}

function signingKeysRow(hub: HubContext, uid: number): SigningKeysRow | undefined {
  return hub.sql
    .exec<SigningKeysRow>(
      'SELECT master, master_signatures, self_signing, user_signing FROM cross_signing WHERE uid = ?',
      uid,
    )
    .toArray()[0]
}

/** Whether a text is the public key of one of a user's cross-signing keys: no device may be called so. */
export function isSigningKey(hub: HubContext, userId: UserId, text: string): boolean {
  const uid = findUser(hub, userId)
  const { master, selfSigning, userSigning } = uid === undefined ? {} : crossSigningKeys(hub, uid, userId)
  return [master, selfSigning, userSigning].some(
    (key) => stringProperty(objectProperty(key, 'keys'), `ed25519:${text}`) !== undefined,
  )
}

/** The Ed25519 key of a device by its key id, undefined where there is none. */
export function deviceSigningKey(hub: HubContext, uid: number, keyId: string): Uint8Array | undefined {
  const row = hub.sql
    .exec<{ keys: string }>(
      "SELECT keys FROM devices WHERE uid = ? AND 'ed25519:' || device_id = ? AND keys IS NOT NULL",
      uid,
      keyId,
    )
    .toArray()[0]
  if (!row) return undefined
  // Written by `uploadKeys` alone.
  const keys = objectProperty(JSON.parse(row.keys) as JsonObject, 'keys')
  return decodeBase64(stringProperty(keys, keyId) ?? '')
}

/** Whether two keys are the same, whoever signed them. */
export function isSameKey(one: JsonObject | undefined, other: JsonObject | undefined): boolean {
  if (!one || !other) return one === other
  const omit = ['signatures', 'unsigned']
  return canonicalJson(one, { strict: false, omit }) === canonicalJson(other, { strict: false, omit })
}
