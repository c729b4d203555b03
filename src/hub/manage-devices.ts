// Devices that come, are renamed and go, with all that hangs on them here and what others are told of it.
// Specification: client-server API, "Device Management"; server-server API, "Device Management".

import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { removeDeviceSettings } from './account-data.ts'
import { announceDevices, announceKeyless } from './announce-keys.ts'
import type { HubContext } from './context.ts'
import { isSigningKey } from './cross-signing.ts'
import { isDehydrated } from './dehydrated-device.ts'
import { deviceRows } from './device-keys.ts'
import {
  createDevice,
  deleteDevices,
  deviceGeneration,
  type DeviceSelection,
  type GoneDevice,
  type NewDevice,
  renameDevice,
} from './devices.ts'
import { internUser } from './interned.ts'
import { deviceSeen } from './last-seen.ts'
import { dropPushersOf } from './pushes.ts'
import { deviceEnded } from './set-presence.ts'
import { dropConnections } from './sliding-sync-connection.ts'
import { dropToDevice } from './to-device.ts'
import { dropWaiters } from './waiters.ts'

/**
 * The device of a login. Answers its generation. M_FORBIDDEN where its id is the user's cross-signing key, or that of their
 * dehydrated device.
 */
export function addDevice(hub: HubContext, userId: UserId, device: NewDevice): number {
  const uid = internUser(hub, userId)
  if (isSigningKey(hub, userId, device.deviceId)) {
    throw new MatrixError('M_FORBIDDEN', 403, 'device_id is the id of a key')
  }
  // Who rehydrates that device logs in on another: its messages are for the client that has its private keys.
  if (isDehydrated(hub, uid, device.deviceId)) {
    throw new MatrixError('M_FORBIDDEN', 403, 'device_id is the id of a dehydrated device')
  }
  const isNew = deviceGeneration(hub, uid, device.deviceId) === undefined
  const generation = createDevice(hub, uid, device)
  if (isNew) announceKeyless(hub, userId, [device.deviceId])
  return generation
}

/**
 * The generation of a device as which an application service acts, which is seen by that. Undefined for no such device, and
 * for a dehydrated one: nobody acts as that.
 */
export function actAsDevice(
  hub: HubContext,
  userId: UserId,
  deviceId: string,
  ip: string | undefined,
): number | undefined {
  const uid = internUser(hub, userId)
  const generation = deviceGeneration(hub, uid, deviceId)
  if (generation === undefined || isDehydrated(hub, uid, deviceId)) return undefined
  deviceSeen(hub, uid, deviceId, ip)
  return generation
}

/** Gives a device another name. Answers false if there is no such device. */
export function giveName(hub: HubContext, userId: UserId, deviceId: string, displayName: string): boolean {
  const uid = internUser(hub, userId)
  const row = deviceRows(hub, uid).find((device) => device.deviceId === deviceId)
  if (!row) return false
  if (row.displayName === displayName) return true
  renameDevice(hub, uid, deviceId, displayName)
  if (row.keys === null) announceKeyless(hub, userId, [deviceId])
  else announceDevices(hub, userId, [deviceId])
  return true
}

/** Ends devices. Answers which there were. */
export function removeDevices(hub: HubContext, userId: UserId, devices: DeviceSelection): GoneDevice[] {
  const uid = internUser(hub, userId)
  const gone = deleteDevices(hub, uid, devices)
  dropPushersOf(
    hub,
    uid,
    gone.map(({ deviceId }) => deviceId),
  )
  for (const { deviceId } of gone) {
    dropWaiters(hub, uid, deviceId)
    dropToDevice(hub, uid, deviceId)
    dropConnections(hub, uid, deviceId)
    removeDeviceSettings(hub, uid, deviceId)
    deviceEnded(hub, uid, deviceId)
  }
  // An application service may wait for news of the user without a device.
  if ('allBut' in devices && devices.allBut === undefined) dropWaiters(hub, uid)
  const ids = (hadKeys: boolean) =>
    gone.filter((device) => device.hadKeys === hadKeys).map(({ deviceId }) => deviceId)
  announceDevices(hub, userId, ids(true))
  if (ids(false).length > 0) announceKeyless(hub, userId, ids(false))
  return gone
}
