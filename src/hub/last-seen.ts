// When and from where devices were seen last: with each sync. Kept in memory, and written down now and then, for rows cost.
// Specification: client-server API, "Device Management", `last_seen_ts`, which may be a few minutes out of date.

import type { HubContext } from './context.ts'

export interface LastSeen {
  /** Milliseconds. */
  readonly ts: number
  readonly ip?: string
}

const writtenEvery = 15 * 60_000
const rememberedDevices = 10_000

type Known = LastSeen & { readonly written: number }
const caches = new WeakMap<HubContext, Map<string, Known>>()

function seenDevices(hub: HubContext): Map<string, Known> {
  const known = caches.get(hub)
  if (known && known.size < rememberedDevices) return known
  const fresh = new Map<string, Known>()
  caches.set(hub, fresh)
  return fresh
}

/** Notes that a device is there. Costs a row where it came from another address, and else every quarter of an hour. */
export function deviceSeen(hub: HubContext, uid: number, deviceId: string, ip?: string): void {
  const key = `${uid} ${deviceId}`
  const known = seenDevices(hub).get(key) ?? storedSeen(hub, uid, deviceId)
  const ts = hub.now()
  const from = ip ?? known?.ip
  const isDue = known === undefined || from !== known.ip || ts - known.written >= writtenEvery
  if (isDue) {
    hub.sql
      .exec(
        'UPDATE devices SET last_seen_ts = ?, last_seen_ip = ? WHERE uid = ? AND device_id = ?',
        ts,
        from ?? null,
        uid,
        deviceId,
      )
      .toArray()
  }
  seenDevices(hub).set(key, {
    ts,
    ...(from === undefined ? {} : { ip: from }),
    written: isDue ? ts : known.written,
  })
}

function storedSeen(hub: HubContext, uid: number, deviceId: string): Known | undefined {
  const row = hub.sql
    .exec<{ ts: number | null; ip: string | null }>(
      'SELECT last_seen_ts AS ts, last_seen_ip AS ip FROM devices WHERE uid = ? AND device_id = ?',
      uid,
      deviceId,
    )
    .toArray()[0]
  if (!row || row.ts === null) return undefined
  return { ts: row.ts, ...(row.ip === null ? {} : { ip: row.ip }), written: row.ts }
}

/** When a device was seen last, where that is known better than its row says. */
export function lastSeen(hub: HubContext, uid: number, deviceId: string): LastSeen | undefined {
  return caches.get(hub)?.get(`${uid} ${deviceId}`)
}

/** Forgets a device that is gone. */
export function forgetSeen(hub: HubContext, uid: number, deviceId: string): void {
  caches.get(hub)?.delete(`${uid} ${deviceId}`)
}
