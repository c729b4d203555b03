// Uploading keys of a device. Specification: client-server API, "Uploading keys", POST /keys/upload.

import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { announceDevices } from './announce-keys.ts'
import { type HubContext, transact } from './context.ts'
import { deviceGeneration } from './devices.ts'
import { internUser } from './interned.ts'
import { addKeys, keyCounts, type KeyCounts, type NamedKey } from './one-time-keys.ts'
import { tellKeyCounts } from './waiters.ts'

export interface KeysUpload {
  readonly userId: UserId
  readonly deviceId: string
  /** The generation of the device that the session was opened for. */
  readonly generation: number
  /** Identity keys as canonical JSON text. */
  readonly deviceKeys?: string
  readonly oneTimeKeys: readonly NamedKey[]
  readonly fallbackKeys: readonly NamedKey[]
}

/** Stores keys of a device. All of it or nothing. Answers what the device has then. M_UNKNOWN_TOKEN, M_INVALID_PARAM. */
export function uploadKeys(hub: HubContext, upload: KeysUpload): KeyCounts {
  const { userId, deviceId, generation } = upload
  const uid = internUser(hub, userId)
  // A device that has the same id as one before it gets none of its keys, whatever is still under way.
  if (deviceGeneration(hub, uid, deviceId) !== generation) {
    throw new MatrixError('M_UNKNOWN_TOKEN', 401, 'Unknown access token')
  }
  const changed = transact(hub, () => {
    addKeys(hub, uid, deviceId, upload.oneTimeKeys, upload.fallbackKeys)
    return upload.deviceKeys !== undefined && putDeviceKeys(hub, uid, deviceId, upload.deviceKeys)
  })
  if (changed) announceDevices(hub, userId, [deviceId])
  // A sync that waits has been told what was there before.
  tellKeyCounts(hub, uid, deviceId)
  return keyCounts(hub, uid, deviceId)
}

// What was uploaded before is no change, and keeps the signatures that others have made since.
function putDeviceKeys(hub: HubContext, uid: number, deviceId: string, keys: string): boolean {
  return (
    hub.sql.exec(
      'UPDATE devices SET keys = ?, key_signatures = NULL WHERE uid = ? AND device_id = ? AND keys IS NOT ?',
      keys,
      uid,
      deviceId,
      keys,
    ).rowsWritten > 0
  )
}
