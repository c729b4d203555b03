// Messages to devices: kept in the order of arrival until the device has acknowledged them.
// Specification: client-server API, "Send-to-Device messaging".

import type { UserId } from '../matrix/event.ts'
import { type HubContext, nextPosition, transact } from './context.ts'
import { findUser } from './interned.ts'

/** One request's messages for users of this shard. */
export interface ToDeviceRequest {
  readonly sender: UserId
  readonly type: string
  /** The same for the same request, however often it comes. */
  readonly messageId: string
  /** Contents as JSON text by user and device; `*` is every device of the user. */
  readonly messages: Readonly<Record<UserId, Readonly<Record<string, string>>>>
}

/** The messages for one answer. */
export interface ToDeviceBatch {
  /** Events as JSON text. */
  readonly events: readonly string[]
  /** Where more of them wait: the position that this batch goes to. */
  readonly last?: number
}

// "100 messages is recommended as a reasonable limit."
const batchSize = 100
const rememberedMs = 30 * 86_400_000
const sweepEvery = 4096
const everyDevice = '*'

/**
 * Puts messages into the inboxes of their devices. What came before, and unknown devices, are passed over. Answers the
 * users who got something.
 */
export function receiveToDevice(hub: HubContext, request: ToDeviceRequest): number[] {
  return transact(hub, () => (isNew(hub, request) ? deliver(hub, request) : []))
}

/**
 * Forgets what a device has: everything up to the position of its `since`. The newest row of all stays, emptied: the
 * positions that this shard gives out are counted on from the highest that its tables hold.
 */
export function acknowledgeToDevice(hub: HubContext, uid: number, deviceId: string, upTo: number): void {
  const newest = hub.sql
    .exec<{ pos: number | null }>(
      'SELECT max(pos) AS pos FROM to_device WHERE uid = ? AND device_id = ? AND pos <= ?',
      uid,
      deviceId,
      upTo,
    )
    .one().pos
  if (newest === null) return
  hub.sql.exec(
    'DELETE FROM to_device WHERE uid = ? AND device_id = ? AND pos <= ? AND pos < ?',
    uid,
    deviceId,
    upTo,
    hub.position,
  )
  if (newest < hub.position) return
  hub.sql.exec(
    `UPDATE to_device SET event = '' WHERE uid = ? AND device_id = ? AND pos = ? AND event <> ''`,
    uid,
    deviceId,
    newest,
  )
}

/** The oldest messages of a device in (since, upTo], as many as recommended or fewer. */
export function toDeviceBatch(
  hub: HubContext,
  uid: number,
  deviceId: string,
  { since, upTo }: { readonly since: number; readonly upTo: number },
  limit: number = batchSize,
): ToDeviceBatch {
  const most = Math.min(limit, batchSize)
  const rows = hub.sql
    .exec<{ pos: number; event: string }>(
      `SELECT pos, event FROM to_device
       WHERE uid = ? AND device_id = ? AND pos > ? AND pos <= ? AND event <> '' ORDER BY pos LIMIT ?`,
      uid,
      deviceId,
      since,
      upTo,
      most + 1,
    )
    .toArray()
  const batch = rows.slice(0, most)
  const last = rows.length > most ? batch.at(-1)?.pos : undefined
  return { events: batch.map(({ event }) => event), ...(last === undefined ? {} : { last }) }
}

/** Drops the messages of a device that is gone: one that takes its id must not get them. */
export function dropToDevice(hub: HubContext, uid: number, deviceId: string): void {
  // A later position is in the row that says so; see `acknowledgeToDevice`.
  acknowledgeToDevice(hub, uid, deviceId, hub.position)
}

function isNew(hub: HubContext, { sender, messageId }: ToDeviceRequest): boolean {
  // Now and then those are forgotten that nobody repeats any more. Seldom, since all of them are read for that.
  if ((crypto.getRandomValues(new Uint16Array(1))[0] ?? 0) % sweepEvery === 0) {
    hub.sql.exec('DELETE FROM to_device_seen WHERE ts < ?', hub.now() - rememberedMs)
  }
  return (
    hub.sql
      .exec(
        'INSERT OR IGNORE INTO to_device_seen (sender, message_id, ts) VALUES (?, ?, ?) RETURNING 1',
        sender,
        messageId,
        hub.now(),
      )
      .toArray().length > 0
  )
}

function deliver(hub: HubContext, { sender, type, messages }: ToDeviceRequest): number[] {
  const head = `{"sender":${JSON.stringify(sender)},"type":${JSON.stringify(type)},"content":`
  let pos: number | undefined
  return Object.entries(messages).flatMap(([userId, contents]) => {
    const uid = findUser(hub, userId as UserId)
    if (uid === undefined) return []
    const devices = devicesOf(hub, uid).flatMap((deviceId) => {
      const content = Object.hasOwn(contents, deviceId) ? contents[deviceId] : contents[everyDevice]
      return content === undefined ? [] : { deviceId, content }
    })
    for (const { deviceId, content } of devices) {
      // Taken only for a row that is written.
      pos ??= nextPosition(hub)
      hub.sql.exec(
        'INSERT INTO to_device (uid, device_id, pos, event) VALUES (?, ?, ?, ?)',
        uid,
        deviceId,
        pos,
        `${head}${content}}`,
      )
    }
    return devices.length > 0 ? [uid] : []
  })
}

function devicesOf(hub: HubContext, uid: number): string[] {
  return hub.sql
    .exec<{ device_id: string }>('SELECT device_id FROM devices WHERE uid = ?', uid)
    .toArray()
    .map((row) => row.device_id)
}
