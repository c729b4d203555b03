// Changes of the keys and devices of local users, for all who see them: users of this server by their syncs, other servers by
// EDUs. Updates of a user's device list are numbered by log positions, each naming the one before, so that a server that
// misses one notices and asks. Specification: server-server API, "Device Management", "End-to-End Encryption".

import { config } from '../config.ts'
import { federationSenderStub } from '../env.ts'
import type { KeptEdu } from '../federation/sender/edus.ts'
import { errorMessage, log } from '../log.ts'
import type { ServerName, UserId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { moveDeviceList, tellChange, tellOtherHubs } from './change-device-list.ts'
import { type HubContext, transact } from './context.ts'
import { crossSigningKeys } from './cross-signing.ts'
import { lastUpdate } from './device-stream.ts'
import { type DeviceRow, deviceRows, signedDeviceKeys } from './device-keys.ts'
import { internUser, userIdOf } from './interned.ts'
import { serversWith } from './other-members.ts'

/** Tells that devices have other keys or names, or are gone. */
export function announceDevices(hub: HubContext, userId: UserId, deviceIds: readonly string[]): void {
  if (deviceIds.length === 0) return
  const uid = internUser(hub, userId)
  const edus = transact(hub, () => deviceIds.map((deviceId) => deviceUpdate(hub, uid, userId, deviceId)))
  spread(hub, uid, userId, edus)
}

/** The same of devices without keys: clients need not fetch anything anew, but other servers know devices by their names. */
export function announceKeyless(hub: HubContext, userId: UserId, deviceIds: readonly string[]): void {
  if (serversWith(hub, internUser(hub, userId)).size > 0) announceDevices(hub, userId, deviceIds)
}

/** Tells that the cross-signing keys have changed, or the signatures on the master key. */
export function announceSigningKeys(hub: HubContext, userId: UserId): void {
  const uid = internUser(hub, userId)
  moveDeviceList(hub, userId)
  const { master, selfSigning } = crossSigningKeys(hub, uid, userId)
  const content: JsonObject = {
    user_id: userId,
    ...(master ? { master_key: master } : {}),
    ...(selfSigning ? { self_signing_key: selfSigning } : {}),
  }
  spread(hub, uid, userId, [{ type: 'm.signing_key_update', key: userId, content }])
}

/**
 * A user came into a room: servers there that shared no room with them before learn that there is a device list. One update
 * is enough, since they find that they miss those before it.
 */
export function announceToRoom(hub: HubContext, uid: number, rid: number): void {
  const servers = serversWith(hub, uid, { only: rid })
  if (servers.size === 0) return
  const known = serversWith(hub, uid, { but: rid })
  const fresh = [...servers].filter((name) => !known.has(name))
  const rows = deviceRows(hub, uid)
  const row = rows.find(({ keys }) => keys !== null) ?? rows[0]
  if (fresh.length === 0 || !row) return
  const userId = userIdOf(hub, uid)
  const streamId = lastUpdate(hub, userId)
  const edu =
    streamId === undefined
      ? transact(hub, () => deviceUpdate(hub, uid, userId, row.deviceId))
      : updateEdu(hub, userId, row.deviceId, row, { streamId })
  tellServers(hub, userId, fresh, [edu])
}

function deviceUpdate(hub: HubContext, uid: number, userId: UserId, deviceId: string): KeptEdu {
  const before = lastUpdate(hub, userId)
  const streamId = moveDeviceList(hub, userId, { numbered: true })
  const row = deviceRows(hub, uid).find((device) => device.deviceId === deviceId)
  return updateEdu(hub, userId, deviceId, row, { streamId, ...(before === undefined ? {} : { before }) })
}

function updateEdu(
  hub: HubContext,
  userId: UserId,
  deviceId: string,
  row: DeviceRow | undefined,
  { streamId, before }: { readonly streamId: number; readonly before?: number },
): KeptEdu {
  const keys = row && signedDeviceKeys(userId, row)
  const name = config(hub.env).deviceNames ? row?.displayName : undefined
  const content: JsonObject = {
    user_id: userId,
    device_id: deviceId,
    stream_id: streamId,
    prev_id: before === undefined ? [] : [before],
    ...(row ? {} : { deleted: true }),
    ...(typeof name === 'string' ? { device_display_name: name } : {}),
    ...(keys ? { keys } : {}),
  }
  return { type: 'm.device_list_update', key: `${userId} ${deviceId}`, content }
}

function spread(hub: HubContext, uid: number, userId: UserId, edus: readonly KeptEdu[]): void {
  tellChange(hub, userId)
  tellOtherHubs(hub, userId)
  tellServers(hub, userId, [...serversWith(hub, uid)], edus)
}

const telling = new WeakMap<HubContext, Set<Promise<void>>>()

/** Resolves when the sender has what was to be told until now: then it is not lost by a crash. */
export async function keysAreTold(hub: HubContext): Promise<void> {
  const running = telling.get(hub)
  if (running) await Promise.all(running)
}

function tellServers(
  hub: HubContext,
  userId: UserId,
  servers: readonly ServerName[],
  edus: readonly KeptEdu[],
): void {
  if (servers.length === 0) return
  const running = telling.get(hub) ?? new Set()
  telling.set(hub, running)
  const told = tellSender(hub, userId, servers, edus).finally(() => running.delete(told))
  running.add(told)
}

// What is lost here is noticed by the next update.
async function tellSender(
  hub: HubContext,
  userId: UserId,
  servers: readonly ServerName[],
  edus: readonly KeptEdu[],
): Promise<void> {
  try {
    await federationSenderStub(hub.env).tellKept(servers, edus)
  } catch (error) {
    log({ event: 'device_list_not_told', user_id: userId, error: errorMessage(error) })
  }
}
