// What a client of sliding sync has to be told of one room, by what it has of it.
// Specification: MSC4186 (simplified sliding sync), "Room results", "Changing room configs".

import type { RoomId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { RequiredState } from '../matrix/required-state.ts'
import { lastBump } from './bump-stamp.ts'
import type { HubContext } from './context.ts'
import { roomIdOf } from './interned.ts'
import type { SeenNews } from './seen-news.ts'
import type { SentRoom } from './sliding-sync-connection.ts'
import type { SlidingSyncRequest } from './sliding-sync-request.ts'
import { strippedStateOf, type UserRoom, type WantedRoom } from './sliding-sync-rooms.ts'
import type { Wishes } from './sliding-sync-wishes.ts'
import { simpleNews } from './sync.ts'
import { roomWindow } from './sync-rooms.ts'
import { type UnreadCounts, unreadCounts } from './unread.ts'

/** A room of an answer. */
export interface SlidingRoom {
  readonly rid: number
  readonly roomId: RoomId
  readonly membership: string
  /** The lists that the room is in. */
  readonly lists: readonly string[]
  readonly isDm: boolean
  readonly bumpStamp: number
  readonly unread?: UnreadCounts
  /** What to read of the room; absent where stripped state or a flag is all there is. */
  readonly part?: RoomPart
  /** For invites and knocks, and for the end of one. */
  readonly stripped?: readonly JsonObject[]
  /** Whether the client is to forget what it had of the room. */
  readonly initial: boolean
  /** Whether it must be told although nothing of the room may be left to show. */
  readonly telling: boolean
}

/** A range (from, to] of the room's positions; without `from` the client knows nothing of it. */
export interface RoomPart {
  readonly from?: number
  readonly to: number
  readonly joinedThroughout: boolean
  /** Events after this position are live: they came since the last answer. Absent: none are. */
  readonly liveAfter?: number
  readonly timelineLimit: number
  /** The newest events, also those the client has: it wants more of them than before. */
  readonly expand: boolean
  /** Places in the request's list of wishes for state. */
  readonly required: readonly number[]
  /** What state the client was given up to now, where that is not the same. */
  readonly given?: readonly RequiredState[]
  /** The events of the range, where memory holds all of them and none needs the room's own answer. */
  readonly news?: readonly SeenNews[]
}

export interface RoomScope {
  readonly hub: HubContext
  readonly uid: number
  readonly request: SlidingSyncRequest
  readonly upTo: number
  readonly wishes: Wishes
}

/** What a room comes to in an answer, and what the client has of it after that. */
export interface RoomUpdate {
  readonly room: SlidingRoom
  readonly sent: SentRoom
}

/** Whether the Room object has to be asked for it. */
export function asksRoom({ part }: SlidingRoom): boolean {
  return part !== undefined && part.news === undefined
}

/** What there is to tell of a room, undefined where there is nothing. */
export function roomUpdate(
  scope: RoomScope,
  wanted: WantedRoom,
  sent: SentRoom | undefined,
): RoomUpdate | undefined {
  const { room } = wanted
  const since = sent && (sent.behind ?? scope.request.pos?.log ?? 0)
  // Who joined, or left and joined again, starts over.
  if (since === undefined || room.since > since) return membershipUpdate(scope, wanted, sent, since)
  return room.membership === 'join' && sent ? joinedUpdate(scope, wanted, sent, since) : undefined
}

function membershipUpdate(
  scope: RoomScope,
  wanted: WantedRoom,
  sent: SentRoom | undefined,
  since: number | undefined,
): RoomUpdate {
  const { room } = wanted
  if (room.membership === 'invite' || room.membership === 'knock') {
    return update(scope, wanted, sent, { stripped: strippedStateOf(room), initial: true })
  }
  if (room.membership === 'join') {
    const to = liveEnd(scope, room)
    return update(scope, wanted, sent, { part: part(scope, wanted, { to }), initial: true })
  }
  // The end of an invite or a knock in a room that is elsewhere.
  if (room.stripped !== null)
    return update(scope, wanted, sent, { stripped: strippedStateOf(room), initial: true })
  const range = { ...leftRange(scope, room, since), to: room.roomPosition }
  return update(scope, wanted, sent, {
    part: part(scope, wanted, range),
    initial: range.from === undefined,
  })
}

// Who was kicked or banned is told of the room up to there, also where the client never heard of it. Who was not in it when
// the client last heard of it, as after an invite, is told of the end alone.
function leftRange(scope: RoomScope, room: UserRoom, since: number | undefined): { readonly from?: number } {
  if (since === undefined) return {}
  const window = roomWindow(scope.hub, room.rid, since, scope.upTo)
  return { from: window && wasJoined(scope, room, since) ? window.from : room.roomPosition - 1 }
}

function joinedUpdate(
  scope: RoomScope,
  wanted: WantedRoom,
  sent: SentRoom,
  since: number,
): RoomUpdate | undefined {
  const { hub, upTo } = scope
  const { room } = wanted
  const window = room.newest > since ? roomWindow(hub, room.rid, since, upTo) : undefined
  const expand = wanted.timelineLimit > sent.timelineLimit
  const { same, more } = scope.wishes.compare(wanted.required, sent.required)
  const isNews = window !== undefined && window.from < window.to
  if (!isNews && !expand && !more) {
    return room.isDm === sent.isDm ? undefined : update(scope, wanted, sent, { kept: sent, telling: true })
  }
  const range = isNews ? window : quietRange(scope, room)
  const news = isNews && !expand && !more ? simpleNews(hub, scope.uid, room.rid, range) : undefined
  const gap = isNews && isLongerThan(scope, room.rid, since, wanted.timelineLimit)
  return update(scope, wanted, gap ? undefined : sent, {
    part: {
      ...part(scope, wanted, range),
      joinedThroughout: true,
      expand,
      ...(same ? {} : { given: sent.required }),
      ...(news ? { news } : {}),
    },
    kept: sent,
  })
}

function quietRange(scope: RoomScope, room: UserRoom): { readonly from: number; readonly to: number } {
  const end = liveEnd(scope, room)
  return { from: end, to: end }
}

function update(
  scope: RoomScope,
  { room, lists, timelineLimit, required }: WantedRoom,
  sent: SentRoom | undefined,
  news: Partial<Pick<SlidingRoom, 'part' | 'stripped' | 'initial' | 'telling'>> & { kept?: SentRoom },
): RoomUpdate {
  const { hub, uid, upTo } = scope
  const { kept, ...told } = news
  const joined = room.membership === 'join'
  const initial = told.initial ?? false
  // Only what was told goes into the record: a flag alone says nothing about state.
  const wishes = told.part || !kept ? scope.wishes.of(required, (kept ?? sent)?.required) : kept.required
  return {
    room: {
      rid: room.rid,
      roomId: roomIdOf(hub, room.rid),
      membership: room.membership,
      lists,
      isDm: room.isDm,
      // Of a room that one is not in, when that began.
      bumpStamp: joined ? lastBump(hub, room.rid) || room.since : room.since,
      ...(joined ? { unread: unreadCounts(hub, uid, room.rid, upTo) } : {}),
      ...told,
      initial,
      telling: told.telling ?? (initial || !joined || kept?.isDm !== room.isDm),
    },
    sent: {
      timelineLimit: initial || !sent ? timelineLimit : Math.max(timelineLimit, sent.timelineLimit),
      required: wishes,
      isDm: room.isDm,
      receipts: initial ? false : ((kept ?? sent)?.receipts ?? false),
      accountData: initial ? false : ((kept ?? sent)?.accountData ?? false),
    },
  }
}

function part(
  { hub, request, upTo }: RoomScope,
  { room, timelineLimit, required }: WantedRoom,
  range: { readonly from?: number; readonly to: number },
): RoomPart {
  const window = request.pos && roomWindow(hub, room.rid, request.pos.log, upTo)
  return {
    ...range,
    joinedThroughout: false,
    ...(request.pos ? { liveAfter: window ? window.from : range.to } : {}),
    timelineLimit,
    expand: false,
    required,
  }
}

function liveEnd({ hub, upTo }: RoomScope, room: UserRoom): number {
  return roomWindow(hub, room.rid, 0, upTo)?.to ?? room.roomPosition
}

/** Whether the user was joined at a position of the log, after which their membership changed. */
function wasJoined({ hub, uid, upTo }: RoomScope, { rid }: UserRoom, since: number): boolean {
  const row = hub.sql
    .exec<{ prev: string | null }>(
      'SELECT prev FROM log WHERE rid = ? AND pos > ? AND pos <= ? AND uid = ? ORDER BY pos LIMIT 1',
      rid,
      since,
      upTo,
      uid,
    )
    .toArray()[0]
  return row?.prev === 'join'
}

/** Whether more happened in a room than a timeline takes: what the client had of the timeline no longer adjoins. */
function isLongerThan({ hub, upTo }: RoomScope, rid: number, since: number, limit: number): boolean {
  const rows = hub.sql.exec(
    'SELECT 1 FROM log WHERE rid = ? AND pos > ? AND pos <= ? LIMIT 1 OFFSET ?',
    rid,
    since,
    upTo,
    limit,
  )
  return rows.toArray().length > 0
}
