// A user's dehydrated device: one that nobody is logged in on. It has keys and gets messages as any other, and keeps both
// until it is replaced or deleted, so that a later login finds the keys of what was said meanwhile.
// Specification: MSC3814 (dehydrated devices with secret storage), which is not in the specification yet.

import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { announceDevices } from './announce-keys.ts'
import { type HubContext, transact } from './context.ts'
import { isSigningKey } from './cross-signing.ts'
import { createDevice, deleteDevices, deviceGeneration } from './devices.ts'
import { internUser } from './interned.ts'
import { addKeys, type NamedKey } from './one-time-keys.ts'
import { dropToDevice, type ToDeviceBatch, toDeviceBatch } from './to-device.ts'

export interface DehydratedUpload {
  readonly userId: UserId
  readonly deviceId: string
  readonly displayName?: string
  /** What rehydrates it, as JSON text. */
  readonly data: string
  /** Identity keys as canonical JSON text. */
  readonly deviceKeys: string
  readonly oneTimeKeys: readonly NamedKey[]
  readonly fallbackKeys: readonly NamedKey[]
}

export interface DehydratedDevice {
  readonly deviceId: string
  /** As uploaded, JSON text. */
  readonly data: string
}

/** A batch of its messages, with where the next one begins. */
export interface DehydratedEvents {
  /** JSON text each. */
  readonly events: readonly string[]
  readonly next: number
  readonly more: boolean
}

type StoredDevice = { device_id: string; keys: string | null; dehydrated: string }

function stored(hub: HubContext, uid: number): StoredDevice | undefined {
  return hub.sql
    .exec<StoredDevice>(
      'SELECT device_id, keys, dehydrated FROM devices WHERE uid = ? AND dehydrated IS NOT NULL',
      uid,
    )
    .toArray()[0]
}

/** The dehydrated device of a user. */
export function dehydratedDevice(hub: HubContext, userId: UserId): DehydratedDevice | undefined {
  const row = stored(hub, internUser(hub, userId))
  return row && { deviceId: row.device_id, data: row.dehydrated }
}

/**
 * Stores a dehydrated device in the place of the one before it, which is deleted. The same one once more is no other: it
 * keeps its messages. All of it or nothing. M_FORBIDDEN where its id is taken, M_INVALID_PARAM, M_TOO_LARGE.
 */
export function putDehydratedDevice(hub: HubContext, upload: DehydratedUpload): void {
  const { userId, deviceId } = upload
  const uid = internUser(hub, userId)
  const before = stored(hub, uid)
  const same = before?.device_id === deviceId && before.keys === upload.deviceKeys
  if (!same) refuseTakenId(hub, uid, upload, before)
  const gone = transact(hub, () => {
    const dropped = before && !same ? dropDevice(hub, uid, before.device_id) : []
    if (!same) createDevice(hub, uid, { deviceId })
    hub.sql.exec(
      'UPDATE devices SET dehydrated = ?, keys = ?, display_name = ?, last_seen_ts = NULL WHERE uid = ? AND device_id = ?',
      upload.data,
      upload.deviceKeys,
      upload.displayName ?? null,
      uid,
      deviceId,
    )
    addKeys(hub, uid, deviceId, upload.oneTimeKeys, upload.fallbackKeys)
    return dropped
  })
  if (!same) announceDevices(hub, userId, [...new Set([...gone, deviceId])])
}

// Nobody may have two devices of one id, nor a device that is called as a key is.
function refuseTakenId(
  hub: HubContext,
  uid: number,
  { userId, deviceId }: DehydratedUpload,
  before: StoredDevice | undefined,
): void {
  const taken = before?.device_id !== deviceId && deviceGeneration(hub, uid, deviceId) !== undefined
  if (taken || isSigningKey(hub, userId, deviceId)) {
    throw new MatrixError('M_FORBIDDEN', 403, 'device_id is the id of another device or of a key')
  }
}

function dropDevice(hub: HubContext, uid: number, deviceId: string): string[] {
  dropToDevice(hub, uid, deviceId)
  return deleteDevices(hub, uid, { only: [deviceId] }).map((device) => device.deviceId)
}

/** Whether a device is dehydrated: nobody may log in on it. */
export function isDehydrated(hub: HubContext, uid: number, deviceId: string): boolean {
  return stored(hub, uid)?.device_id === deviceId
}

/**
 * The messages of a dehydrated device behind a position. They stay: whoever rehydrates it may fail half-way. M_FORBIDDEN
 * where it is not the dehydrated device of the user.
 */
export function dehydratedEvents(
  hub: HubContext,
  userId: UserId,
  deviceId: string,
  since: number,
  limit: number,
): DehydratedEvents {
  const uid = internUser(hub, userId)
  if (!isDehydrated(hub, uid, deviceId)) {
    throw new MatrixError('M_FORBIDDEN', 403, 'This is not the dehydrated device of the user')
  }
  const upTo = hub.position
  const batch: ToDeviceBatch = toDeviceBatch(hub, uid, deviceId, { since, upTo }, limit)
  return { events: batch.events, next: batch.last ?? Math.max(since, upTo), more: batch.last !== undefined }
}
