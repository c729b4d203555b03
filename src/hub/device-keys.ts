// Identity keys of devices as they are stored and shown.
// Specification: client-server API, "Device keys", "Key and signature security".

import type { UserId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { HubContext } from './context.ts'
import { ownSignatures, type Signatures, withSignatures } from './key-signatures.ts'

export interface DeviceRow {
  readonly deviceId: string
  readonly displayName: string | null
  /** As uploaded. */
  readonly keys: string | null
  /** Signatures of the user that came later. */
  readonly signatures: string | null
  readonly [column: string]: SqlStorageValue
}

/** All devices of a user, with keys or without. */
export function deviceRows(hub: HubContext, uid: number): DeviceRow[] {
  return hub.sql
    .exec<DeviceRow>(
      `SELECT device_id AS deviceId, display_name AS displayName, keys, key_signatures AS signatures
       FROM devices WHERE uid = ? ORDER BY device_id`,
      uid,
    )
    .toArray()
}

/** The identity keys of a device with the signatures that may be seen; undefined for one that has uploaded none. */
export function signedDeviceKeys(userId: UserId, row: DeviceRow): JsonObject | undefined {
  if (row.keys === null) return undefined
  // Written by `uploadKeys` and `addSignatures` alone.
  const keys = JSON.parse(row.keys) as JsonObject
  const later = row.signatures === null ? {} : (JSON.parse(row.signatures) as Signatures)
  return withSignatures(keys, userId, { ...ownSignatures(keys, userId), ...later })
}
