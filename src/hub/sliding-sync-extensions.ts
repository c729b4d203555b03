// What sliding sync tells beside rooms: messages to the device, its keys and those of others, account data, receipts and
// typing. Specification: MSC4186 (simplified sliding sync), "Extensions"; MSC3884, MSC3885, MSC3959 to MSC3961.

import type { RoomId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import { type AccountData, globalAccountDataSince, roomAccountDataSince } from './account-data.ts'
import type { HubContext } from './context.ts'
import { type DeviceLists, deviceListsSince } from './device-lists.ts'
import { roomIdOf } from './interned.ts'
import { receiptsIn, receiptsSince } from './receipts.ts'
import type { SentRoom } from './sliding-sync-connection.ts'
import type { SlidingSyncRequest } from './sliding-sync-request.ts'
import { extensionRooms, type WantedRooms } from './sliding-sync-rooms.ts'
import { movedRooms } from './sync-rooms.ts'
import { type ThreadSubscriptions, threadSubscriptionsSince } from './thread-subscriptions.ts'
import { toDeviceBatch } from './to-device.ts'
import { typingSince } from './typing.ts'

/** Absent where it was not asked for, empty where there is nothing to tell. */
export interface ExtensionNews {
  /** Events as JSON text. */
  readonly toDevice?: { readonly nextBatch: number; readonly events: readonly string[] }
  readonly deviceLists?: DeviceLists
  readonly accountData?: {
    readonly global: readonly AccountData[]
    readonly rooms: readonly (AccountData & { readonly roomId: RoomId })[]
  }
  /** The content of `m.receipt`. */
  readonly receipts?: readonly { readonly roomId: RoomId; readonly content: JsonObject }[]
  readonly threadSubscriptions?: ThreadSubscriptions
  readonly typing?: readonly { readonly roomId: RoomId; readonly userIds: readonly string[] }[]
}

export interface ExtensionScope {
  readonly hub: HubContext
  readonly uid: number
  readonly request: SlidingSyncRequest
  readonly wanted: WantedRooms
  /** What the client has; brought up to date here. */
  readonly rooms: Map<number, SentRoom>
  /** Whether the client has the global account data, or the threads its user is subscribed to. */
  readonly hasAccountData: boolean
  readonly hasThreads: boolean
  /** Rooms of which the client is told everything in this answer, or what it missed. */
  readonly caughtUp: ReadonlySet<number>
  readonly upTo: number
}

/** What there is to tell. Notes in `rooms` which of them the client has the receipts and account data of. */
export function extensionNews(scope: ExtensionScope): ExtensionNews {
  const { extensions } = scope.request
  return {
    ...(extensions.toDevice ? { toDevice: toDevice(scope, extensions.toDevice) } : {}),
    ...(extensions.e2ee && scope.request.pos ? { deviceLists: deviceLists(scope) } : {}),
    ...accountData(scope),
    ...receipts(scope),
    ...typing(scope),
    ...(extensions.threadSubscriptions
      ? { threadSubscriptions: threads(scope, extensions.threadSubscriptions) }
      : {}),
  }
}

/** Whether there is anything in it that a waiting client must be told. */
export function tellsAnything(news: ExtensionNews): boolean {
  const parts: readonly { readonly length: number }[] = [
    news.toDevice?.events ?? [],
    news.deviceLists?.changed ?? [],
    news.deviceLists?.left ?? [],
    news.accountData?.global ?? [],
    news.accountData?.rooms ?? [],
    news.receipts ?? [],
    news.typing ?? [],
    news.threadSubscriptions?.changes ?? [],
  ]
  return parts.some(({ length }) => length > 0)
}

function toDevice(
  { hub, uid, request, upTo }: ExtensionScope,
  { since, limit }: { readonly since?: number; readonly limit?: number },
) {
  const { events, last } = toDeviceBatch(hub, uid, request.deviceId, { since: since ?? 0, upTo }, limit)
  const nextBatch = events.length > 0 ? (last ?? upTo) : (since ?? upTo)
  return { nextBatch, events }
}

function deviceLists({ hub, uid, request, upTo }: ExtensionScope): DeviceLists {
  const since = request.pos?.log ?? upTo
  const { changed, left } = deviceListsSince(hub, uid, since, upTo, movedRooms(hub, uid, since, upTo))
  return { changed, left }
}

function threads(
  { hub, uid, request, hasThreads, upTo }: ExtensionScope,
  { limit }: { readonly limit: number },
): ThreadSubscriptions {
  const since = hasThreads ? (request.pos?.log ?? 0) : 0
  return threadSubscriptionsSince(hub, uid, { since, upTo, limit })
}

function accountData(scope: ExtensionScope): Pick<ExtensionNews, 'accountData'> {
  const { hub, uid, request, upTo, hasAccountData } = scope
  const { accountData: asked } = request.extensions
  if (!asked) {
    forgetAll(scope.rooms, 'accountData')
    return {}
  }
  const since = request.pos?.log ?? 0
  const changed = since === 0 ? [] : roomAccountDataSince(hub, uid, since, upTo)
  const { old, fresh } = chosenRooms(scope, asked, 'accountData', new Set(changed.map(({ rid }) => rid)))
  const all = fresh.size > 0 ? roomAccountDataSince(hub, uid, 0, upTo) : []
  const rooms = [...all.filter(({ rid }) => fresh.has(rid)), ...changed.filter(({ rid }) => old.has(rid))]
  return {
    accountData: {
      global: globalAccountDataSince(hub, uid, hasAccountData ? since : 0, upTo),
      rooms: rooms.map(({ rid, type, content }) => ({ roomId: roomIdOf(hub, rid), type, content })),
    },
  }
}

function receipts(scope: ExtensionScope): Pick<ExtensionNews, 'receipts'> {
  const { hub, request, upTo } = scope
  const { receipts: asked } = request.extensions
  if (!asked) {
    forgetAll(scope.rooms, 'receipts')
    return {}
  }
  const { userId, pos } = request
  const changed = pos ? receiptsSince(hub, userId, pos.log, upTo) : new Map<number, JsonObject>()
  const { old, fresh } = chosenRooms(scope, asked, 'receipts', new Set(changed.keys()))
  const rooms = [...old, ...fresh].flatMap((rid) => {
    const content = fresh.has(rid) ? receiptsIn(hub, userId, rid) : changed.get(rid)
    return content ? [{ roomId: roomIdOf(hub, rid), content }] : []
  })
  return { receipts: rooms }
}

/**
 * The rooms of an extension of which the client has what came before, and those of which it has nothing. Notes that it has
 * all of both now, and not of other rooms in which something changed.
 */
function chosenRooms(
  { hub, wanted, rooms }: ExtensionScope,
  asked: Parameters<typeof extensionRooms>[2],
  kind: 'receipts' | 'accountData',
  changed: ReadonlySet<number>,
): { old: Set<number>; fresh: Set<number> } {
  const chosen = extensionRooms(hub, wanted, asked)
  const old = new Set<number>()
  const fresh = new Set<number>()
  for (const [rid, room] of rooms) {
    if (chosen.has(rid)) {
      const known = room[kind]
      ;(known ? old : fresh).add(rid)
      if (!known) rooms.set(rid, { ...room, [kind]: true })
    } else if (room[kind] && changed.has(rid)) rooms.set(rid, { ...room, [kind]: false })
  }
  return { old, fresh }
}

function forgetAll(rooms: Map<number, SentRoom>, kind: 'receipts' | 'accountData'): void {
  for (const [rid, room] of rooms) if (room[kind]) rooms.set(rid, { ...room, [kind]: false })
}

// Kept in memory alone: a client that is new to a room is told who types in it, others when that changes.
function typing({ hub, wanted, request, caughtUp, rooms }: ExtensionScope): Pick<ExtensionNews, 'typing'> {
  const { typing: asked } = request.extensions
  if (!asked) return {}
  const chosen = extensionRooms(hub, wanted, asked)
  const changed = new Set(typingSince(hub, request.pos?.ephemeral ?? 0).map(({ rid }) => rid))
  const now = typingSince(hub, 0).filter(({ rid }) => chosen.has(rid) && rooms.has(rid))
  const told = now.filter(
    ({ rid, userIds }) =>
      (caughtUp.has(rid) && (userIds.length > 0 || request.pos !== undefined)) ||
      (request.pos !== undefined && changed.has(rid)),
  )
  return { typing: told.map(({ rid, userIds }) => ({ roomId: roomIdOf(hub, rid), userIds })) }
}
