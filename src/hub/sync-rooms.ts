// Which of a user's rooms changed in a window of the log, and over which range of the room.

import type { RoomId } from '../matrix/event.ts'
import type { HubContext } from './context.ts'
import { roomIdOf } from './interned.ts'
import type { SyncRequest } from './sync-request.ts'

export interface RoomChange {
  readonly rid: number
  readonly roomId: RoomId
  /** The user's membership at the end of the window. */
  readonly membership: string
  /** The range (from, to] of room positions; `from` is absent where the client must be told everything. */
  readonly from?: number
  readonly to: number
  /** Stripped state as JSON text, for invites and knocks. */
  readonly stripped: string | null
  /** Whether the user was joined at the start of the window or became so in it. */
  readonly wasJoined: boolean
}

interface MembershipRow {
  readonly rid: number
  readonly membership: string
  readonly log_pos: number
  readonly room_pos: number
  readonly stripped: string | null
  readonly by_other: number
  readonly [column: string]: SqlStorageValue
}

// Beyond this many log rows each room is looked up by itself instead of reading the whole window.
const longestScan = 2000

/** The rooms with something to tell after the request's position, up to another, by their numbers. */
export function changedRooms(
  hub: HubContext,
  uid: number,
  { since, includeLeave }: Pick<SyncRequest, 'since' | 'includeLeave'>,
  upTo: number,
): RoomChange[] {
  const rows = hub.sql
    .exec<MembershipRow>(
      `SELECT rid, membership, log_pos, room_pos, stripped, by_other FROM user_room
       WHERE uid = ? AND (forgotten = 0 OR log_pos > ?) ORDER BY rid`,
      uid,
      // A room that was left and forgotten since is still told as left, once.
      since?.log ?? Infinity,
    )
    .toArray()
  const windows = since ? roomWindows(hub, since.log, upTo) : undefined
  return rows.flatMap((stored) => {
    const row = stored.log_pos > upTo ? membershipBefore(hub, uid, stored, upTo) : stored
    if (!row) return []
    if (!since) return firstSight(hub, row, upTo, includeLeave)
    // An initial sync that did not fit into one answer goes on.
    if (since.given !== undefined && row.rid > since.given && row.membership === 'join') {
      return firstSight(hub, row, upTo, false)
    }
    if (row.log_pos > since.log) return membershipChange(hub, uid, row, since.log, upTo)
    if (row.membership !== 'join') return []
    const window = windows ? windows.get(row.rid) : roomWindow(hub, row.rid, since.log, upTo)
    return window ? [change(hub, row, window, true)] : []
  })
}

/** A membership as it was at a position, for rooms where it changed after that; only joins matter then. */
function membershipBefore(
  hub: HubContext,
  uid: number,
  row: MembershipRow,
  upTo: number,
): MembershipRow | undefined {
  const later = hub.sql
    .exec<{ prev: string | null }>(
      'SELECT prev FROM log WHERE rid = ? AND pos > ? AND uid = ? ORDER BY pos LIMIT 1',
      row.rid,
      upTo,
      uid,
    )
    .toArray()[0]
  if (later?.prev !== 'join') return undefined
  const joined = hub.sql
    .exec<{ pos: number; to_pos: number }>(
      "SELECT pos, to_pos FROM log WHERE rid = ? AND pos <= ? AND uid = ? AND next = 'join' ORDER BY pos DESC LIMIT 1",
      row.rid,
      upTo,
      uid,
    )
    .toArray()[0]
  return (
    joined && { ...row, membership: 'join', log_pos: joined.pos, room_pos: joined.to_pos, stripped: null }
  )
}

/** The position just before the log first names the (n+1)th of the user's rooms after `since`; undefined for fewer. */
export function positionOfRoom(
  hub: HubContext,
  uid: number,
  since: number,
  upTo: number,
  n: number,
): number | undefined {
  const row = hub.sql
    .exec<{ first: number }>(
      `SELECT min(log.pos) AS first FROM log JOIN user_room ON user_room.rid = log.rid AND user_room.uid = ?
       WHERE log.pos > ? AND log.pos <= ? GROUP BY log.rid ORDER BY first LIMIT 1 OFFSET ?`,
      uid,
      since,
      upTo,
      n,
    )
    .toArray()[0]
  return row && row.first - 1
}

/** The rooms in which the user's membership changed in a window. */
export function movedRooms(hub: HubContext, uid: number, since: number, upTo: number): RoomChange[] {
  return hub.sql
    .exec<MembershipRow>(
      `SELECT rid, membership, log_pos, room_pos, stripped, by_other FROM user_room
       WHERE uid = ? AND log_pos > ? AND log_pos <= ?`,
      uid,
      since,
      upTo,
    )
    .toArray()
    .flatMap((row) => membershipChange(hub, uid, row, since, upTo))
}

interface Window {
  readonly from: number
  readonly to: number
}

function change(
  hub: HubContext,
  { rid, membership, stripped }: MembershipRow,
  range: { readonly from?: number; readonly to: number },
  wasJoined: boolean,
): RoomChange {
  return { rid, roomId: roomIdOf(hub, rid), membership, stripped, wasJoined, ...range }
}

// Without a position to go on from: everything about joined rooms, and about left ones where asked for.
function firstSight(hub: HubContext, row: MembershipRow, upTo: number, includeLeave: boolean): RoomChange[] {
  if (row.membership === 'join') {
    const to = roomWindow(hub, row.rid, 0, upTo)?.to ?? row.room_pos
    return [change(hub, row, { to }, true)]
  }
  // Kicks and bans are told also to those who did not ask about rooms they left.
  const byThemselves = row.membership === 'leave' && row.by_other === 0
  return byThemselves && !includeLeave ? [] : [change(hub, row, { to: row.room_pos }, true)]
}

/** A room whose membership changed in the window. */
function membershipChange(
  hub: HubContext,
  uid: number,
  row: MembershipRow,
  since: number,
  upTo: number,
): RoomChange[] {
  const changes = hub.sql
    .exec<{ prev: string | null; next: string | null }>(
      'SELECT prev, next FROM log WHERE rid = ? AND pos > ? AND pos <= ? AND uid = ? ORDER BY pos',
      row.rid,
      since,
      upTo,
      uid,
    )
    .toArray()
  const window = roomWindow(hub, row.rid, since, upTo)
  if (row.membership === 'join') {
    // Newly joined, or left and joined again in the window: the client starts over with full state.
    return [change(hub, row, { to: window?.to ?? row.room_pos }, true)]
  }
  const knows = changes[0]?.prev === 'join'
  const from = knows && window ? { from: window.from } : {}
  const wasJoined = knows || changes.some(({ next }) => next === 'join')
  return [change(hub, row, { ...from, to: row.room_pos }, wasJoined)]
}

/** What the log has of each room in a window; undefined where the window is too long to be read as a whole. */
function roomWindows(hub: HubContext, since: number, upTo: number): Map<number, Window> | undefined {
  if (upTo - since > longestScan) return undefined
  const rows = hub.sql.exec<{ rid: number; first: number; last: number }>(
    `SELECT rid, min(from_pos) AS first, max(to_pos) AS last FROM log WHERE pos > ? AND pos <= ? GROUP BY rid`,
    since,
    upTo,
  )
  return new Map([...rows].map(({ rid, first, last }) => [rid, { from: first, to: last }]))
}

/** What the log has of a room in a window. */
export function roomWindow(hub: HubContext, rid: number, since: number, upTo: number): Window | undefined {
  const end = (order: 'ASC' | 'DESC') =>
    hub.sql
      .exec<{ from_pos: number; to_pos: number }>(
        `SELECT from_pos, to_pos FROM log WHERE rid = ? AND pos > ? AND pos <= ? ORDER BY pos ${order} LIMIT 1`,
        rid,
        since,
        upTo,
      )
      .toArray()[0]
  const first = end('ASC')
  const last = end('DESC')
  return first && last && { from: first.from_pos, to: last.to_pos }
}
