// Keys of users of other servers, kept while a user of this shard shares a room with them: only then do their servers tell of
// changes. What may have changed unnoticed is stale, and fetched again when it is next asked for.
// Specification: server-server API, "Device Management".

import { parseCrossSigningKey } from '../matrix/cross-signing-key.ts'
import type { UserId } from '../matrix/event.ts'
import { isJsonObject, type JsonObject, objectProperty, stringProperty } from '../matrix/json.ts'
import { moveDeviceList, tellChange } from './change-device-list.ts'
import { type HubContext, transact } from './context.ts'
import { sharersWithOther } from './other-members.ts'
import type { UserKeys } from './user-keys.ts'

/** What is here of a user of another server. */
export interface RemoteKeys {
  readonly userId: UserId
  /** What was fetched last, stale or not. */
  readonly kept?: UserKeys
  /** Whether `kept` is up to date. */
  readonly fresh: boolean
  /** Whether changes are told: only then is it worth keeping. */
  readonly shared: boolean
  /** The position of the last change that was told, to be given back with what is fetched. */
  readonly position: number
}

/** What was fetched of a user. */
export interface FetchedKeys {
  readonly userId: UserId
  readonly keys: UserKeys
  /** The number of the last update that it holds, where the other server has said it. */
  readonly streamId?: number
  /** As it was in RemoteKeys before the fetch. */
  readonly position: number
}

interface ListRow {
  readonly pos: number
  readonly stream_id: number | null
  readonly cached: string | null
  readonly stale: number
  readonly [column: string]: SqlStorageValue
}

/** What is here of users of other servers. */
export function remoteKeys(hub: HubContext, userIds: readonly UserId[]): RemoteKeys[] {
  return userIds.map((userId) => {
    const row = listRow(hub, userId)
    // Written by this file alone.
    const kept = row && row.cached !== null ? (JSON.parse(row.cached) as UserKeys) : undefined
    return {
      userId,
      ...(kept ? { kept } : {}),
      fresh: kept !== undefined && row?.stale === 0,
      shared: sharersWithOther(hub, userId).length > 0,
      position: row?.pos ?? 0,
    }
  })
}

/** Keeps what was fetched. */
export function keepRemoteKeys(hub: HubContext, fetched: readonly FetchedKeys[]): void {
  transact(hub, () => {
    for (const { userId, keys, streamId, position } of fetched) {
      if (sharersWithOther(hub, userId).length === 0) continue
      const now = listRow(hub, userId)?.pos ?? 0
      hub.sql.exec(
        `INSERT INTO device_lists (user_id, pos, stream_id, cached, stale) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (user_id) DO UPDATE SET stream_id = excluded.stream_id, cached = excluded.cached,
           stale = excluded.stale`,
        userId,
        now,
        streamId ?? null,
        JSON.stringify(keys),
        // What was told since may not be in it.
        now === position ? 0 : 1,
      )
    }
  })
}

/** Notes that nobody shares a room with these users any more, as far as that is so: what they change is not told. */
export function forgetUnshared(hub: HubContext, userIds: readonly UserId[]): void {
  for (const userId of userIds) {
    const row = listRow(hub, userId)
    if (!row || row.cached === null || row.stale === 1 || sharersWithOther(hub, userId).length > 0) continue
    hub.sql.exec('UPDATE device_lists SET stale = 1 WHERE user_id = ?', userId)
  }
}

/** The users in a room of whom keys are kept that are up to date. */
export function keptMembers(hub: HubContext, rid: number): UserId[] {
  return hub.sql
    .exec<{ userId: UserId }>(
      `SELECT user_id AS userId FROM other_members JOIN device_lists USING (user_id)
       WHERE rid = ? AND cached IS NOT NULL AND stale = 0`,
      rid,
    )
    .toArray()
    .map(({ userId }) => userId)
}

/** `m.device_list_update` of another server, about one of its users. */
export interface DeviceListUpdate {
  readonly userId: UserId
  readonly deviceId: string
  readonly streamId: number
  readonly before: readonly number[]
  readonly deleted: boolean
  readonly keys?: JsonObject
  readonly displayName?: string
}

/** Takes an update in. Users with whom nobody here shares a room are none of our business. */
export function applyDeviceListUpdate(hub: HubContext, update: DeviceListUpdate): void {
  const { userId } = update
  if (sharersWithOther(hub, userId).length === 0) return
  const row = listRow(hub, userId)
  // One that came before.
  if (row?.stream_id === update.streamId && row.stale === 0) return
  const kept = row && row.cached !== null ? (JSON.parse(row.cached) as UserKeys) : undefined
  // A device without keys, then as before, is nothing that clients must fetch.
  const isChange =
    update.deleted || update.keys !== undefined || Object.hasOwn(kept?.devices ?? {}, update.deviceId)
  transact(hub, () => {
    if (isChange) moveDeviceList(hub, userId)
    if (row && kept) applyToKept(hub, row, kept, update)
  })
  if (isChange) tellChange(hub, userId)
}

function applyToKept(hub: HubContext, row: ListRow, kept: UserKeys, update: DeviceListUpdate): void {
  const { userId, before, streamId } = update
  // An update builds upon all those that it names: where one is not known, some were missed.
  const isNext = row.stale === 0 && before.length > 0 && before.every((id) => id === row.stream_id)
  const devices = isNext ? updatedDevices(kept.devices, update) : undefined
  if (!devices) {
    hub.sql.exec('UPDATE device_lists SET stale = 1 WHERE user_id = ?', userId)
    return
  }
  hub.sql.exec(
    'UPDATE device_lists SET stream_id = ?, cached = ? WHERE user_id = ?',
    streamId,
    JSON.stringify({ ...kept, devices }),
    userId,
  )
}

/** Undefined for keys that are not those of the device. */
function updatedDevices(
  devices: JsonObject,
  { userId, deviceId, deleted, keys, displayName }: DeviceListUpdate,
): JsonObject | undefined {
  const others = Object.fromEntries(Object.entries(devices).filter(([id]) => id !== deviceId))
  // A device without keys is none to encrypt for.
  if (deleted || !keys) return others
  if (!isKeyOf(keys, userId, deviceId)) return undefined
  return {
    ...others,
    [deviceId]: {
      ...keys,
      unsigned: displayName === undefined ? {} : { device_display_name: displayName },
    },
  }
}

/** Whether an object from another server is the identity keys of that device. */
export function isKeyOf(keys: JsonObject, userId: UserId, deviceId: string): boolean {
  return (
    stringProperty(keys, 'user_id') === userId &&
    stringProperty(keys, 'device_id') === deviceId &&
    objectProperty(keys, 'keys') !== undefined
  )
}

/** `m.signing_key_update` of another server, about one of its users; keys as they came. */
export interface SigningKeyUpdate {
  readonly userId: UserId
  readonly master?: JsonObject
  readonly selfSigning?: JsonObject
}

/** Takes an update of cross-signing keys in. */
export function applySigningKeyUpdate(hub: HubContext, update: SigningKeyUpdate): void {
  const { userId } = update
  if (sharersWithOther(hub, userId).length === 0) return
  const row = listRow(hub, userId)
  transact(hub, () => {
    moveDeviceList(hub, userId)
    if (row && row.cached !== null) {
      const kept = JSON.parse(row.cached) as UserKeys
      hub.sql.exec(
        'UPDATE device_lists SET cached = ? WHERE user_id = ?',
        JSON.stringify({ ...kept, ...signingKeys(userId, update) }),
        userId,
      )
    }
  })
  tellChange(hub, userId)
}

/** Those of the keys that are what they claim to be. */
export function signingKeys(
  userId: UserId,
  { master, selfSigning }: { readonly master?: unknown; readonly selfSigning?: unknown },
): Pick<UserKeys, 'master' | 'selfSigning'> {
  const isMaster = !('fault' in parseCrossSigningKey(master, userId, 'master'))
  const isSelfSigning = !('fault' in parseCrossSigningKey(selfSigning, userId, 'self_signing'))
  return {
    ...(isJsonObject(master) && isMaster ? { master } : {}),
    ...(isJsonObject(selfSigning) && isSelfSigning ? { selfSigning } : {}),
  }
}

function listRow(hub: HubContext, userId: UserId): ListRow | undefined {
  return hub.sql
    .exec<ListRow>('SELECT pos, stream_id, cached, stale FROM device_lists WHERE user_id = ?', userId)
    .toArray()[0]
}
