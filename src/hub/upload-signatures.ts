// Signatures that users make on keys: on their own devices and master key, for all to see, and on the master keys of others,
// for themselves alone. Specification: client-server API, POST /keys/signatures/upload, "Key and signature security".

import type { Errcode } from '../errors.ts'
import { crossSigningKey } from '../matrix/cross-signing-key.ts'
import type { UserId } from '../matrix/event.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import { verifyJson } from '../matrix/signing.ts'
import { announceDevices, announceSigningKeys } from './announce-keys.ts'
import { type HubContext, nextPosition, transact } from './context.ts'
import { crossSigningKeys, deviceSigningKey, isSameKey } from './cross-signing.ts'
import { deviceRows, signedDeviceKeys } from './device-keys.ts'
import { internUser } from './interned.ts'
import { ownSignatures, signatureOn, type Signatures } from './key-signatures.ts'
import { wakeUser } from './waiters.ts'

/** A key object that carries new signatures. */
export interface SignedKey {
  /** Whose key it is. */
  readonly target: UserId
  /** A device id, or the public key of a master key. */
  readonly key: string
  readonly object: unknown
  /** The master key of another user, as far as it could be had. */
  readonly master?: JsonObject
}

export interface SignatureFailure {
  readonly target: UserId
  readonly key: string
  readonly errcode: Errcode
  readonly error: string
}

type Refusal = Pick<SignatureFailure, 'errcode' | 'error'>

/** Stores what is well signed. Answers what was not, key by key. Signatures that are there already write nothing. */
export function uploadSignatures(
  hub: HubContext,
  userId: UserId,
  keys: readonly SignedKey[],
): SignatureFailure[] {
  const uid = internUser(hub, userId)
  const changed: Changed = { devices: [], master: false, others: false }
  const failures = transact(hub, () =>
    keys.flatMap(({ target, key, object, master }) => {
      const refusal = isJsonObject(object)
        ? target === userId
          ? signOwn(hub, { uid, userId, changed }, key, object)
          : signOther(hub, { uid, userId, changed }, target, object, master)
        : malformed
      return refusal ? [{ target, key, ...refusal }] : []
    }),
  )
  if (changed.devices.length > 0) announceDevices(hub, userId, changed.devices)
  if (changed.master) announceSigningKeys(hub, userId)
  if (changed.others) wakeUser(hub, uid)
  return failures
}

interface Changed {
  devices: string[]
  master: boolean
  others: boolean
}

interface Signer {
  readonly uid: number
  readonly userId: UserId
  readonly changed: Changed
}

const malformed: Refusal = { errcode: 'M_BAD_JSON', error: 'The key is not an object' }
const unknownKey: Refusal = { errcode: 'M_NOT_FOUND', error: 'There is no such key' }
const otherKey: Refusal = { errcode: 'M_INVALID_PARAM', error: 'This is not the key that was uploaded' }
const badSignature: Refusal = { errcode: 'M_INVALID_SIGNATURE', error: 'Invalid signature' }

function signOwn(hub: HubContext, signer: Signer, key: string, object: JsonObject): Refusal | undefined {
  const { uid, userId } = signer
  const device = deviceRows(hub, uid).find(({ deviceId, keys }) => deviceId === key && keys !== null)
  const deviceKeys = device && signedDeviceKeys(userId, device)
  if (deviceKeys) return signDevice(hub, signer, key, object, deviceKeys)
  const { master } = crossSigningKeys(hub, uid, userId)
  if (!master || crossSigningKey(master, userId, 'master').publicKey !== key) return unknownKey
  return signMaster(hub, signer, object, master)
}

/** A device is signed by its user's self-signing key. */
function signDevice(
  hub: HubContext,
  { uid, userId, changed }: Signer,
  deviceId: string,
  object: JsonObject,
  stored: JsonObject,
): Refusal | undefined {
  if (!isSameKey(object, stored)) return otherKey
  const { selfSigning } = crossSigningKeys(hub, uid, userId)
  if (!selfSigning) return badSignature
  const { keyId, bytes } = crossSigningKey(selfSigning, userId, 'self_signing')
  const fresh = freshSignatures(object, stored, userId)
  if (fresh === 'none') return undefined
  if (Object.keys(fresh).some((id) => id !== keyId) || !verifyJson(object, userId, keyId, bytes)) {
    return badSignature
  }
  hub.sql.exec(
    'UPDATE devices SET key_signatures = ? WHERE uid = ? AND device_id = ?',
    JSON.stringify(fresh),
    uid,
    deviceId,
  )
  changed.devices.push(deviceId)
  return undefined
}

/** A master key is signed by devices of its user. */
function signMaster(
  hub: HubContext,
  { uid, userId, changed }: Signer,
  object: JsonObject,
  stored: JsonObject,
): Refusal | undefined {
  if (!isSameKey(object, stored)) return otherKey
  const fresh = freshSignatures(object, stored, userId)
  if (fresh === 'none') return undefined
  for (const keyId of Object.keys(fresh)) {
    const key = deviceSigningKey(hub, uid, keyId)
    if (!key || !verifyJson(object, userId, keyId, key)) return badSignature
  }
  hub.sql.exec(
    'UPDATE cross_signing SET master_signatures = ? WHERE uid = ?',
    JSON.stringify({ ...ownSignatures(stored, userId), ...fresh }),
    uid,
  )
  changed.master = true
  return undefined
}

/** The master key of another user is signed by one's user-signing key. */
function signOther(
  hub: HubContext,
  { uid, userId, changed }: Signer,
  target: UserId,
  object: JsonObject,
  master: JsonObject | undefined,
): Refusal | undefined {
  if (!master) return unknownKey
  if (!isSameKey(object, master)) return otherKey
  const { userSigning } = crossSigningKeys(hub, uid, userId)
  const signing = userSigning && crossSigningKey(userSigning, userId, 'user_signing')
  if (!signing || !verifyJson(object, userId, signing.keyId, signing.bytes)) return badSignature
  const signature = ownSignatures(object, userId)[signing.keyId] ?? ''
  const { publicKey } = crossSigningKey(master, target, 'master')
  const known = signatureOn(hub, uid, target)
  if (known?.signedKey === publicKey && known.signatures[signing.keyId] === signature) return undefined
  hub.sql.exec(
    `INSERT OR REPLACE INTO user_signatures (uid, target, signed_key, signatures, pos) VALUES (?, ?, ?, ?, ?)`,
    uid,
    target,
    publicKey,
    JSON.stringify({ [signing.keyId]: signature }),
    nextPosition(hub),
  )
  changed.others = true
  return undefined
}

function freshSignatures(object: JsonObject, stored: JsonObject, userId: UserId): Signatures | 'none' {
  const known = ownSignatures(stored, userId)
  const fresh = Object.entries(ownSignatures(object, userId)).filter(([id, text]) => known[id] !== text)
  return fresh.length === 0 ? 'none' : Object.fromEntries(fresh)
}
