// Devices of local users. Specification: client-server API, "Device Management",
// "Relationship between access tokens and devices".

import type { HubContext } from './context.ts'
import { forgetSeen, lastSeen } from './last-seen.ts'
import { dropKeys } from './one-time-keys.ts'

export interface Device {
  readonly device_id: string
  readonly display_name?: string
  readonly last_seen_ip?: string
  readonly last_seen_ts?: number
}

export interface NewDevice {
  readonly deviceId: string
  readonly displayName?: string
  readonly ip?: string
}

/** Some devices of a user, or all but one, or all. */
export type DeviceSelection = { readonly only: readonly string[] } | { readonly allBut: string | undefined }

export interface GoneDevice {
  readonly deviceId: string
  readonly generation: number
  /** Whether it had identity keys. */
  readonly hadKeys: boolean
}

type DeviceRow = {
  device_id: string
  display_name: string | null
  last_seen_ip: string | null
  last_seen_ts: number | null
}

/**
 * The device of a login, made now if it is new; a known one keeps its name. Answers its generation, which tells it
 * from an earlier device with the same id.
 */
export function createDevice(hub: HubContext, uid: number, device: NewDevice): number {
  forgetSeen(hub, uid, device.deviceId)
  const { generation } = hub.sql
    .exec<{ generation: number }>(
      `INSERT INTO devices (uid, device_id, generation, display_name, last_seen_ip, last_seen_ts)
       VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (uid, device_id) DO UPDATE SET last_seen_ip = excluded.last_seen_ip, last_seen_ts = excluded.last_seen_ts
       RETURNING generation`,
      uid,
      device.deviceId,
      newGeneration(),
      device.displayName ?? null,
      device.ip ?? null,
      hub.now(),
    )
    .one()
  return generation
}

// Random rather than counted: the row of an earlier device is gone.
function newGeneration(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2))
  return (high >>> 12) * 2 ** 32 + low
}

/** The generation of a device, undefined if there is none with that id. */
export function deviceGeneration(hub: HubContext, uid: number, deviceId: string): number | undefined {
  return hub.sql
    .exec<{ generation: number }>(
      'SELECT generation FROM devices WHERE uid = ? AND device_id = ?',
      uid,
      deviceId,
    )
    .toArray()[0]?.generation
}

/** All devices of a user. */
export function listDevices(hub: HubContext, uid: number): Device[] {
  return hub.sql
    .exec<DeviceRow>(
      'SELECT device_id, display_name, last_seen_ip, last_seen_ts FROM devices WHERE uid = ? ORDER BY device_id',
      uid,
    )
    .toArray()
    .map((row) => asDevice(hub, uid, row))
}

/** One device of a user. */
export function getDevice(hub: HubContext, uid: number, deviceId: string): Device | undefined {
  const row = hub.sql
    .exec<DeviceRow>(
      'SELECT device_id, display_name, last_seen_ip, last_seen_ts FROM devices WHERE uid = ? AND device_id = ?',
      uid,
      deviceId,
    )
    .toArray()[0]
  return row && asDevice(hub, uid, row)
}

/** Gives a device another name. Answers false if there is no such device. */
export function renameDevice(hub: HubContext, uid: number, deviceId: string, displayName: string): boolean {
  return (
    hub.sql.exec(
      'UPDATE devices SET display_name = ? WHERE uid = ? AND device_id = ?',
      displayName,
      uid,
      deviceId,
    ).rowsWritten > 0
  )
}

/** Deletes devices and their keys. Answers which there were. */
export function deleteDevices(hub: HubContext, uid: number, devices: DeviceSelection): GoneDevice[] {
  const all = hub.sql
    .exec<{ device_id: string; generation: number; has_keys: number }>(
      'SELECT device_id, generation, keys IS NOT NULL AS has_keys FROM devices WHERE uid = ?',
      uid,
    )
    .toArray()
  const chosen = 'only' in devices ? new Set(devices.only) : undefined
  const gone = all.filter(({ device_id: id }) =>
    'only' in devices ? chosen?.has(id) === true : id !== devices.allBut,
  )
  for (const { device_id: deviceId } of gone) {
    hub.sql.exec('DELETE FROM devices WHERE uid = ? AND device_id = ?', uid, deviceId)
    dropKeys(hub, uid, deviceId)
    forgetSeen(hub, uid, deviceId)
  }
  return gone.map((row) => ({
    deviceId: row.device_id,
    generation: row.generation,
    hadKeys: row.has_keys === 1,
  }))
}

function asDevice(hub: HubContext, uid: number, row: DeviceRow): Device {
  const seen = lastSeen(hub, uid, row.device_id)
  const ip = seen?.ip ?? row.last_seen_ip
  const ts = seen?.ts ?? row.last_seen_ts
  return {
    device_id: row.device_id,
    ...(row.display_name === null ? {} : { display_name: row.display_name }),
    ...(ip === null ? {} : { last_seen_ip: ip }),
    ...(ts === null ? {} : { last_seen_ts: ts }),
  }
}
