// Uploading cross-signing keys. Specification: client-server API, POST /keys/device_signing/upload.

import { MatrixError } from '../errors.ts'
import { type CrossSigningKey, crossSigningKey, type KeyUsage } from '../matrix/cross-signing-key.ts'
import type { UserId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { verifyJson } from '../matrix/signing.ts'
import { announceSigningKeys } from './announce-keys.ts'
import { type HubContext, transact } from './context.ts'
import { crossSigningKeys, deviceSigningKey, isSameKey, type SigningKeys } from './cross-signing.ts'
import { internUser } from './interned.ts'
import { ownSignatures } from './key-signatures.ts'

export interface SigningKeysUpload {
  readonly userId: UserId
  /** Each of them parsed before. */
  readonly master?: JsonObject
  readonly selfSigning?: JsonObject
  readonly userSigning?: JsonObject
  /** Whether the user has proved once more who they are. */
  readonly authenticated: boolean
}

/**
 * Stores cross-signing keys. Answers false, and stores nothing, where the user must authenticate for that.
 * M_MISSING_PARAM, M_INVALID_PARAM, M_INVALID_SIGNATURE, M_FORBIDDEN.
 */
export function uploadSigningKeys(hub: HubContext, upload: SigningKeysUpload): boolean {
  const { userId } = upload
  const uid = internUser(hub, userId)
  const stored = crossSigningKeys(hub, uid, userId)
  const given = (['master', 'selfSigning', 'userSigning'] as const).filter((name) => upload[name])
  if (given.length === 0) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: master_key')
  // The same keys once more are no change, and need no authentication: an answer may have been lost.
  if (given.every((name) => isSameKey(upload[name], stored[name]))) return true
  const masterObject = upload.master ?? stored.master
  if (!masterObject) throw new MatrixError('M_MISSING_PARAM', 400, 'There is no master signing key')
  const master = crossSigningKey(masterObject, userId, 'master')
  const keys = checkedKeys(upload, master)
  refuseDeviceIds(hub, uid, keys)
  refuseBadSignatures(hub, uid, userId, master)
  // The first keys need no authentication, all others do.
  if (stored.master && !upload.authenticated) return false
  transact(hub, () => writeKeys(hub, uid, upload, stored, masterObject))
  announceSigningKeys(hub, userId)
  return true
}

/** Deletes the cross-signing keys of a user who ends their account. */
export function eraseSigningKeys(hub: HubContext, userId: UserId): void {
  const { rowsWritten } = hub.sql.exec('DELETE FROM cross_signing WHERE uid = ?', internUser(hub, userId))
  if (rowsWritten > 0) announceSigningKeys(hub, userId)
}

/** All keys of an upload. The others must be signed by the master key, and no two may be the same. */
function checkedKeys(upload: SigningKeysUpload, master: CrossSigningKey): CrossSigningKey[] {
  const { userId } = upload
  const of = (object: JsonObject | undefined, usage: KeyUsage) =>
    object ? [crossSigningKey(object, userId, usage)] : []
  const others = [...of(upload.selfSigning, 'self_signing'), ...of(upload.userSigning, 'user_signing')]
  for (const { object } of others) {
    if (verifyJson(object, userId, master.keyId, master.bytes)) continue
    throw new MatrixError('M_INVALID_SIGNATURE', 400, 'A key is not signed by the master signing key')
  }
  const keys = [master, ...others]
  if (new Set(keys.map(({ keyId }) => keyId)).size < keys.length) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'One key is given for several usages')
  }
  return keys
}

// Devices and cross-signing keys share one namespace of key ids.
function refuseDeviceIds(hub: HubContext, uid: number, keys: readonly CrossSigningKey[]): void {
  for (const { publicKey } of keys) {
    const taken = hub.sql.exec('SELECT 1 FROM devices WHERE uid = ? AND device_id = ?', uid, publicKey)
    if (taken.toArray().length > 0) throw new MatrixError('M_FORBIDDEN', 403, 'A device has the id of a key')
  }
}

// The master key may come signed by devices of its user.
function refuseBadSignatures(hub: HubContext, uid: number, userId: UserId, master: CrossSigningKey): void {
  for (const keyId of Object.keys(ownSignatures(master.object, userId))) {
    const key = deviceSigningKey(hub, uid, keyId)
    if (!key || verifyJson(master.object, userId, keyId, key)) continue
    throw new MatrixError('M_INVALID_SIGNATURE', 400, 'The master signing key is badly signed')
  }
}

function writeKeys(
  hub: HubContext,
  uid: number,
  upload: SigningKeysUpload,
  stored: SigningKeys,
  master: JsonObject,
): void {
  const replaced = upload.master !== undefined && !isSameKey(upload.master, stored.master)
  // What an earlier master key has signed is worth nothing under a new one.
  const selfSigning = upload.selfSigning ?? (replaced ? undefined : stored.selfSigning)
  const userSigning = upload.userSigning ?? (replaced ? undefined : stored.userSigning)
  const text = (key: JsonObject | undefined) => (key ? JSON.stringify(key) : null)
  hub.sql.exec(
    `INSERT OR REPLACE INTO cross_signing (uid, master, master_signatures, self_signing, user_signing)
     VALUES (?, ?, NULL, ?, ?)`,
    uid,
    text(replaced ? master : (stored.master ?? master)),
    text(selfSigning),
    text(userSigning),
  )
  if (isSameKey(selfSigning, stored.selfSigning)) return
  // Devices were signed by a key that is none any more.
  hub.sql.exec('UPDATE devices SET key_signatures = NULL WHERE uid = ? AND key_signatures IS NOT NULL', uid)
}
