// The rooms that a user's lists and subscriptions of sliding sync choose from, and those they choose.
// Specification: MSC4186 (simplified sliding sync), "Lists and subscriptions".

import type { RoomId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { HubContext } from './context.ts'
import { findRoom } from './interned.ts'
import type { SentRoom, SentState } from './sliding-sync-connection.ts'
import { shownInvites } from './shown-invites.ts'
import { directRooms, roomFilter } from './sliding-sync-filters.ts'
import type { SlidingSyncRequest } from './sliding-sync-request.ts'

/** A room that a user has to do with. */
export interface UserRoom {
  readonly rid: number
  readonly membership: string
  /** The position in the log at which the membership began. */
  readonly since: number
  /** The room's position at which it began. */
  readonly roomPosition: number
  /** The position in the log of the last that the user may know of. */
  readonly newest: number
  /** Stripped state as JSON text, for invites and knocks; for a room elsewhere also the event that ended one. */
  readonly stripped: string | null
  readonly isDm: boolean
  /** What this shard knows of the room; absent for plain rooms. */
  readonly type?: string
  readonly encrypted: boolean
}

/** A room that is asked for, and what of it: the superset of all that asks for it. */
export interface WantedRoom {
  readonly room: UserRoom
  readonly lists: readonly string[]
  readonly subscribed: boolean
  readonly timelineLimit: number
  /** Places in the request's list of wishes for state, in order. */
  readonly required: readonly number[]
}

export interface WantedRooms {
  /** How many rooms each list has, by its name. */
  readonly counts: Readonly<Record<string, number>>
  /** By room number, those first that should be told first. */
  readonly rooms: ReadonlyMap<number, WantedRoom>
  /** The position in the log of the last that the user may know of, of all their rooms. */
  readonly newest: ReadonlyMap<number, number>
}

interface RoomRow {
  readonly rid: number
  readonly membership: string
  readonly log_pos: number
  readonly room_pos: number
  readonly stripped: string | null
  readonly by_other: number
  readonly forgotten: number
  readonly newest: number | null
  readonly room_type: string | null
  readonly encrypted: number | null
  readonly [column: string]: SqlStorageValue
}

/** Chooses the rooms of a request. Costs a look-up a room of the user. */
export function wantedRooms(
  hub: HubContext,
  uid: number,
  request: SlidingSyncRequest,
  sent: SentState,
): WantedRooms {
  const direct = directRooms(hub, uid)
  const rows = hub.sql
    .exec<RoomRow>(
      `SELECT user_room.rid, membership, log_pos, room_pos, stripped, by_other, forgotten, room_type, encrypted,
         (SELECT max(pos) FROM log WHERE log.rid = user_room.rid) AS newest
       FROM user_room LEFT JOIN room_facts USING (rid) WHERE uid = ?`,
      uid,
    )
    .toArray()
  const shows = shownInvites(hub, uid)
  const rooms = rows
    .filter((row) => row.membership !== 'invite' || shows(strippedStateOf(row)))
    .filter((row) => isKnown(hub, uid, row, sent.rooms.get(row.rid), request.pos?.log))
    .map((row) => userRoom(row, direct))
  const wanted = new Map<number, WantedRoom>()
  for (const { room, config } of subscribedRooms(hub, rooms, request)) {
    want(wanted, room, { ...config, subscribed: true })
  }
  const passes = roomFilter(hub, uid)
  // A kick or a ban is listed also where the client was never told of the room.
  const listed = rooms
    .filter(({ rid, byThemselves }) => !byThemselves || sent.rooms.has(rid))
    // By activity, and not by when something was said: whatever happens brings a room to the top.
    .toSorted((a, b) => b.newest - a.newest)
  const counts = request.lists.map(({ name, ranges, filters, ...config }) => {
    const matching = filters ? listed.filter((room) => passes(room, filters)) : listed
    const inRange = ranges ? matching.filter((_, i) => ranges.some(([a, b]) => a <= i && i <= b)) : matching
    for (const room of inRange) want(wanted, room, { ...config, list: name })
    return [name, matching.length] as const
  })
  return {
    counts: Object.fromEntries(counts),
    rooms: wanted,
    newest: new Map(rooms.map(({ rid, newest }) => [rid, newest])),
  }
}

type ListedRoom = UserRoom & { readonly byThemselves: boolean }

function userRoom(row: RoomRow, direct: ReadonlySet<number>): ListedRoom {
  const { rid, membership } = row
  const gone = membership === 'leave' || membership === 'ban'
  return {
    rid,
    membership,
    since: row.log_pos,
    roomPosition: row.room_pos,
    newest: membership === 'join' ? (row.newest ?? row.log_pos) : row.log_pos,
    stripped: row.stripped,
    isDm: direct.has(rid),
    ...(row.room_type === null ? {} : { type: row.room_type }),
    encrypted: row.encrypted === 1,
    byThemselves: gone && row.by_other === 0,
  }
}

/** The stripped state of an invite or a knock. */
export function strippedStateOf({ stripped }: Pick<UserRoom, 'stripped'>): JsonObject[] {
  // Written by `applyMembership` and `applyRemoteMembership` alone.
  return stripped === null ? [] : (JSON.parse(stripped) as JsonObject[])
}

/** Whether the user may be told of the room at all. */
function isKnown(
  hub: HubContext,
  uid: number,
  row: RoomRow,
  sent: SentRoom | undefined,
  pos: number | undefined,
): boolean {
  const { membership, log_pos: since, forgotten } = row
  if (membership !== 'leave' && membership !== 'ban') return true
  // A room that was left and forgotten since is still told as left, once.
  if (forgotten !== 0) return sent !== undefined && since > (sent.behind ?? pos ?? 0)
  return sent !== undefined || wasJoinedBefore(hub, uid, row)
}

// Who was banned without ever having been there, or whose invite was taken back, is told of nothing.
function wasJoinedBefore(hub: HubContext, uid: number, { rid, log_pos: since }: RoomRow): boolean {
  const row = hub.sql
    .exec<{ prev: string | null }>(
      'SELECT prev FROM log WHERE rid = ? AND pos >= ? AND uid = ? ORDER BY pos LIMIT 1',
      rid,
      since,
      uid,
    )
    .toArray()[0]
  return row?.prev === 'join'
}

function subscribedRooms(hub: HubContext, rooms: readonly UserRoom[], request: SlidingSyncRequest) {
  const known = new Map(rooms.map((room) => [room.rid, room]))
  return request.subscriptions.flatMap(({ roomId, ...config }) => {
    const rid = findRoom(hub, roomId)
    const room = rid === undefined ? undefined : known.get(rid)
    // Unknown rooms, and those the user has nothing to do with, are passed over.
    return room ? [{ room, config }] : []
  })
}

function want(
  wanted: Map<number, WantedRoom>,
  room: UserRoom,
  wish: { timelineLimit: number; required: number; list?: string; subscribed?: true },
): void {
  const known = wanted.get(room.rid)
  const required = new Set([...(known?.required ?? []), wish.required])
  wanted.set(room.rid, {
    room,
    lists: [...(known?.lists ?? []), ...(wish.list === undefined ? [] : [wish.list])],
    subscribed: known?.subscribed ?? wish.subscribed ?? false,
    timelineLimit: Math.max(known?.timelineLimit ?? 0, wish.timelineLimit),
    required: [...required].toSorted((a, b) => a - b),
  })
}

/** The rooms of an extension: of the lists and subscriptions it names, or of all. */
export function extensionRooms(
  hub: HubContext,
  wanted: WantedRooms,
  { lists, rooms }: { readonly lists?: readonly string[]; readonly rooms?: readonly string[] },
): Set<number> {
  const all = (names: readonly string[] | undefined) => !names || names.includes('*')
  const named = new Set((rooms ?? []).map((roomId) => findRoom(hub, roomId as RoomId)))
  const chosen = [...wanted.rooms.values()].filter(
    (one) =>
      // Beside rooms that are joined there is nothing to be told.
      one.room.membership === 'join' &&
      ((all(lists) ? one.lists.length > 0 : one.lists.some((name) => lists?.includes(name))) ||
        (one.subscribed && all(rooms)) ||
        named.has(one.room.rid)),
  )
  return new Set(chosen.map(({ room }) => room.rid))
}
