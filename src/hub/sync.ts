// What a client has to be told since a position: which rooms to ask for which range, and everything the Hub knows
// itself. The Worker renders it (client/sync.ts); rooms are asked only where the newest events in memory do not do.
// Specification: client-server API, "Syncing".

import type { RoomId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import {
  type AccountData,
  globalAccountDataSince,
  ignoredUsers,
  roomAccountDataSince,
} from './account-data.ts'
import type { HubContext } from './context.ts'
import { internUser, roomIdOf } from './interned.ts'
import { deviceListsSince, type DeviceLists } from './device-lists.ts'
import { ephemeralSequence } from './ephemeral.ts'
import { keyCounts, type KeyCounts } from './one-time-keys.ts'
import { presenceSince, type PresenceEvent } from './presence.ts'
import { receiptsIn, receiptsSince } from './receipts.ts'
import { recentNews } from './recent-news.ts'
import { seenNews, type SeenNews } from './seen-news.ts'
import { shownInvites } from './shown-invites.ts'
import { changedRooms, positionOfRoom, type RoomChange } from './sync-rooms.ts'
import type { SyncPosition, SyncRequest } from './sync-request.ts'
import { typingSince } from './typing.ts'
import { toDeviceBatch } from './to-device.ts'
import { unreadCounts, type UnreadCounts } from './unread.ts'

export interface SyncPlan {
  /** Nothing to tell: the client may wait. */
  readonly idle: boolean
  readonly next: SyncPosition
  readonly join: readonly JoinedRoom[]
  readonly leave: readonly LeftRoom[]
  readonly invite: readonly OfferedRoom[]
  readonly knock: readonly OfferedRoom[]
  readonly accountData: readonly AccountData[]
  readonly presence: readonly PresenceEvent[]
  readonly deviceLists: DeviceLists
  /** Messages to the device, as JSON text. */
  readonly toDevice: readonly string[]
  /** What the device has of keys that others can claim; absent where none syncs. */
  readonly keyCounts?: KeyCounts
  /** Users whose messages are not shown to this one. */
  readonly ignored: readonly string[]
}

export interface JoinedRoom {
  readonly roomId: RoomId
  /** The room's range (from, to]; `from` is absent where the client knows nothing of the room. */
  readonly from?: number
  readonly to: number
  /** The events of the range, where memory holds all of them and none needs the room's own answer. */
  readonly news?: readonly SeenNews[]
  readonly typing?: readonly string[]
  readonly receipts?: JsonObject
  readonly accountData: readonly AccountData[]
  readonly unread: UnreadCounts
}

export interface LeftRoom {
  readonly roomId: RoomId
  readonly from?: number
  readonly to: number
  /** Whether the user was in the room before: an invite that was turned down leaves no timeline behind it. */
  readonly wasJoined: boolean
  /** The leave, where the room is elsewhere and knows nothing of it here. */
  readonly event?: JsonObject
}

export interface OfferedRoom {
  readonly roomId: RoomId
  readonly stripped: readonly JsonObject[]
}

const noDeviceLists: DeviceLists = { changed: [], left: [] }
const nothing = {
  join: [],
  leave: [],
  invite: [],
  knock: [],
  accountData: [],
  presence: [],
  deviceLists: noDeviceLists,
  toDevice: [],
  ignored: [],
}

/** The plan for a sync as of now. Reads only. An idle answer costs no query. */
export function planSync(hub: HubContext, request: SyncRequest): SyncPlan {
  const uid = internUser(hub, request.userId)
  const next = { log: hub.position, ephemeral: ephemeralSequence(hub) }
  if (isIdle(hub, uid, request, next)) {
    return { ...nothing, idle: true, next, ...countsFor(hub, uid, request) }
  }
  const plan = planUpTo(hub, uid, request, next)
  if (!request.since || roomsToAsk(plan) <= hub.roomsPerSync) return plan
  // Too many rooms for one answer: end it where the log names no more of them than can be asked.
  const cut = positionOfRoom(hub, uid, request.since.log, next.log, hub.roomsPerSync)
  return cut === undefined ? plan : planUpTo(hub, uid, request, { ...request.since, log: cut })
}

function isIdle(hub: HubContext, uid: number, { since, fullState }: SyncRequest, now: SyncPosition): boolean {
  if (!since || fullState || since.given !== undefined || since.toDevice !== undefined) return false
  return since.log >= (hub.newsAt.get(uid) ?? hub.bootPosition) && since.ephemeral >= now.ephemeral
}

function countsFor(
  hub: HubContext,
  uid: number,
  { deviceId }: SyncRequest,
): { readonly keyCounts?: KeyCounts } {
  return deviceId === undefined ? {} : { keyCounts: keyCounts(hub, uid, deviceId) }
}

function roomsToAsk({ join, leave }: SyncPlan): number {
  return leave.length + join.filter(({ news }) => !news).length
}

function planUpTo(hub: HubContext, uid: number, request: SyncRequest, end: SyncPosition): SyncPlan {
  const since = request.since?.log ?? 0
  const scope: Scope = { hub, uid, request, since, upTo: end.log }
  const { changes, given } = withoutSurplus(hub, changedRooms(hub, uid, request, end.log))
  const ignored = ignoredUsers(hub, uid)
  const shows = shownInvites(hub, uid)
  const { newlySeen, ...deviceLists } = request.since
    ? deviceListsSince(hub, uid, since, end.log, changes)
    : { ...noDeviceLists, newlySeen: [] }
  const toDevice =
    request.eventsOnly || request.deviceId === undefined
      ? { events: [] }
      : toDeviceBatch(hub, uid, request.deviceId, {
          since: request.since?.toDevice ?? since,
          upTo: end.log,
        })
  const plan = {
    next: {
      log: end.log,
      ephemeral: end.ephemeral,
      ...(given === undefined ? {} : { given }),
      ...(toDevice.last === undefined ? {} : { toDevice: toDevice.last }),
    },
    join: joinedRooms(scope, changes),
    leave: leftRooms(scope, changes),
    invite: offeredRooms(changes, 'invite').filter(({ stripped }) => shows(stripped)),
    knock: offeredRooms(changes, 'knock'),
    accountData: globalAccountDataSince(hub, uid, since, end.log),
    // Those whose device lists the client must fetch came into its sight, and their presence with them.
    presence: presenceSince(hub, uid, request.since?.ephemeral, newlySeen),
    deviceLists,
    toDevice: toDevice.events,
    ...countsFor(hub, uid, request),
    ignored,
  }
  const { changed, left } = plan.deviceLists
  const { join, leave, invite, knock, accountData, presence } = plan
  const empty = [join, leave, invite, knock, accountData, presence, changed, left, plan.toDevice].every(
    (part) => part.length === 0,
  )
  return { ...plan, idle: empty && request.since !== undefined && !request.fullState }
}

/** Keeps as many rooms that the client is new to as one answer may ask; `given` says how far that went. */
function withoutSurplus(
  hub: HubContext,
  changes: readonly RoomChange[],
): { changes: readonly RoomChange[]; given?: number } {
  const fresh = changes.filter(({ membership, from }) => membership === 'join' && from === undefined)
  const last = fresh[hub.roomsPerSync - 1]
  if (!last || fresh.length === hub.roomsPerSync) return { changes }
  const surplus = new Set(fresh.slice(hub.roomsPerSync))
  return { changes: changes.filter((change) => !surplus.has(change)), given: last.rid }
}

interface Scope {
  readonly hub: HubContext
  readonly uid: number
  readonly request: SyncRequest
  readonly since: number
  readonly upTo: number
}

function joinedRooms(scope: Scope, changes: readonly RoomChange[]): JoinedRoom[] {
  const { hub, uid, request, since, upTo } = scope
  const initial = request.since === undefined
  const accountData = Map.groupBy(roomAccountDataSince(hub, uid, initial ? 0 : since, upTo), ({ rid }) => rid)
  const receipts = initial ? undefined : receiptsSince(hub, request.userId, since, upTo)
  const typing = new Map(
    typingSince(hub, initial ? 0 : (request.since?.ephemeral ?? 0)).map(({ rid, userIds }) => [rid, userIds]),
  )
  const joined = changes.filter(({ membership }) => membership === 'join')
  const known = new Set(joined.map(({ rid }) => rid))
  const others = initial ? [] : quietRooms(scope, [accountData, receipts ?? new Map(), typing], known)
  return [...joined, ...others].map((change) => {
    const { rid, from, to } = change
    const fresh = from === undefined
    const news = fresh || request.fullState ? undefined : simpleNews(hub, uid, rid, { from, to })
    const roomReceipts = receipts && !fresh ? receipts.get(rid) : receiptsIn(hub, request.userId, rid)
    const users = typing.get(rid)
    return {
      roomId: roomIdOf(hub, rid),
      ...(from === undefined ? {} : { from }),
      to,
      ...(news ? { news } : {}),
      ...(users && (users.length > 0 || !fresh) ? { typing: users } : {}),
      ...(roomReceipts ? { receipts: roomReceipts } : {}),
      accountData: (fresh ? roomAccountDataSince(hub, uid, 0, upTo) : (accountData.get(rid) ?? [])).filter(
        (entry) => !('rid' in entry) || entry.rid === rid,
      ),
      unread: unreadCounts(hub, uid, rid, upTo),
    }
  })
}

/** Joined rooms without new events in which something else is new, or all of them where the full state is wanted. */
function quietRooms(
  { hub, uid, upTo, request }: Scope,
  sources: readonly ReadonlyMap<number, unknown>[],
  known: ReadonlySet<number>,
): RoomChange[] {
  const rids = new Set(sources.flatMap((source) => [...source.keys()]))
  if (request.fullState) for (const rid of allJoined(hub, uid)) rids.add(rid)
  return [...rids]
    .filter((rid) => !known.has(rid))
    .flatMap((rid): RoomChange[] => {
      const row = hub.sql
        .exec<{ membership: string }>('SELECT membership FROM user_room WHERE uid = ? AND rid = ?', uid, rid)
        .toArray()[0]
      if (row?.membership !== 'join') return []
      const end = liveEnd(hub, rid, upTo)
      return [
        {
          rid,
          roomId: roomIdOf(hub, rid),
          membership: 'join',
          from: end,
          to: end,
          stripped: null,
          wasJoined: true,
        },
      ]
    })
}

function allJoined(hub: HubContext, uid: number): number[] {
  return hub.sql
    .exec<{ rid: number }>("SELECT rid FROM user_room WHERE uid = ? AND membership = 'join'", uid)
    .toArray()
    .map((row) => row.rid)
}

function liveEnd(hub: HubContext, rid: number, upTo: number): number {
  const row = hub.sql
    .exec<{ to_pos: number }>(
      'SELECT to_pos FROM log WHERE rid = ? AND pos <= ? ORDER BY pos DESC LIMIT 1',
      rid,
      upTo,
    )
    .toArray()[0]
  return row?.to_pos ?? 0
}

/**
 * The events of a range, where memory holds all of them and they say all there is to say: memberships change summaries and
 * lazily loaded members, and resolved state comes from the room alone.
 */
export function simpleNews(
  hub: HubContext,
  uid: number,
  rid: number,
  { from, to }: { readonly from: number; readonly to: number },
): SeenNews[] | undefined {
  if (from === to) return []
  const news = recentNews(hub, rid, from, to)
  const simple = news?.every(({ resolved, event }) => !resolved && event['type'] !== 'm.room.member')
  return simple ? news?.map((item) => seenNews(hub, uid, rid, item)) : undefined
}

function leftRooms({ hub }: Scope, changes: readonly RoomChange[]): LeftRoom[] {
  return changes
    .filter(({ membership }) => membership === 'leave' || membership === 'ban')
    .map(({ rid, from, to, wasJoined, stripped }) => ({
      roomId: roomIdOf(hub, rid),
      ...(from === undefined ? {} : { from }),
      to,
      wasJoined,
      // Written by `applyRemoteMembership` alone.
      ...(stripped === null ? {} : { event: (JSON.parse(stripped) as JsonObject[])[0] ?? {} }),
    }))
}

function offeredRooms(changes: readonly RoomChange[], membership: string): OfferedRoom[] {
  return changes
    .filter((change) => change.membership === membership)
    .map(({ roomId, stripped }) => ({
      roomId,
      // Written by `applyMembership` alone.
      stripped: stripped === null ? [] : (JSON.parse(stripped) as JsonObject[]),
    }))
}
