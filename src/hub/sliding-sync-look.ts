// What was found out last for each connection of sliding sync, in memory: as long as nothing happens, the same request
// gets the same answer, without a query.

import type { HubContext } from './context.ts'
import { ephemeralSequence } from './ephemeral.ts'
import type { SlidingSyncRequest } from './sliding-sync-request.ts'

export interface Look {
  /** The state of the connection that the client has, and where it stands in the log. */
  readonly state: number
  readonly from: number
  /** Up to where there was nothing to tell it. */
  readonly upTo: number
  /** How many rooms each list had. */
  readonly counts: Readonly<Record<string, number>>
}

/** With what the client wished for, as JSON text. */
type LastLook = Look & { readonly wishes: string }

/** By device, then by connection. */
const looks = new WeakMap<HubContext, Map<string, Map<string, LastLook>>>()
const rememberedDevices = 5000

/** The last look, where it holds for a request: the same wishes, and nothing has happened since. */
export function lastLook(hub: HubContext, uid: number, request: SlidingSyncRequest): Look | undefined {
  const { pos } = request
  const look = looks.get(hub)?.get(deviceKey(uid, request.deviceId))?.get(request.connId)
  if (!pos || look?.state !== pos.state || pos.log < look.from || pos.log > look.upTo) return undefined
  if ((hub.newsAt.get(uid) ?? hub.bootPosition) > look.upTo) return undefined
  if (request.extensions.typing && pos.ephemeral < ephemeralSequence(hub)) return undefined
  return look.wishes === wishesOf(request) ? look : undefined
}

/** Remembers that there is nothing to tell beyond a position. */
export function rememberLook(hub: HubContext, uid: number, request: SlidingSyncRequest, look: Look): void {
  const devices = looks.get(hub) ?? new Map<string, Map<string, LastLook>>()
  looks.set(hub, devices)
  if (devices.size >= rememberedDevices) devices.clear()
  const key = deviceKey(uid, request.deviceId)
  const connections = devices.get(key) ?? new Map<string, LastLook>()
  devices.set(key, connections)
  connections.set(request.connId, { ...look, wishes: wishesOf(request) })
}

/** Forgets the looks of connections that are gone: one, or all of a device. */
export function forgetLooks(hub: HubContext, uid: number, deviceId: string, connId?: string): void {
  const devices = looks.get(hub)
  if (connId === undefined) devices?.delete(deviceKey(uid, deviceId))
  else devices?.get(deviceKey(uid, deviceId))?.delete(connId)
}

function deviceKey(uid: number, deviceId: string): string {
  return `${uid} ${deviceId}`
}

function wishesOf({ required, lists, subscriptions, extensions }: SlidingSyncRequest): string {
  return JSON.stringify([required, lists, subscriptions, extensions])
}
