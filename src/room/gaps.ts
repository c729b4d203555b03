// Where the timeline is not complete: events whose parents this server never got. Pagination stops there until the
// Worker has fetched what is missing.

import type { EventId, ServerName } from '../matrix/event.ts'
import type { RoomContext } from './context.ts'

export interface Gap {
  /** The position of the lowest event above the gap. */
  readonly pos: number
  /** The events that are missing below it. */
  readonly prevs: readonly EventId[]
  /** Servers that may have them. */
  readonly servers: readonly ServerName[]
}

/** An event accepted across a gap lies this much above what was there before, so that the gap can be filled. */
export const gapSize = 2 ** 20

/** The highest gap in a range of positions, both ends included. */
export function highestGap(room: RoomContext, lowest: number, highest: number): Gap | undefined {
  return findGap(room, lowest, highest, 'DESC')
}

/** The lowest gap in a range of positions, both ends included. */
export function lowestGap(room: RoomContext, lowest: number, highest: number): Gap | undefined {
  return findGap(room, lowest, highest, 'ASC')
}

function findGap(room: RoomContext, lowest: number, highest: number, order: 'ASC' | 'DESC'): Gap | undefined {
  const row = room.sql
    .exec<{ pos: number; prevs: string; servers: string }>(
      `SELECT pos, prevs, servers FROM gaps WHERE pos BETWEEN ? AND ? ORDER BY pos ${order} LIMIT 1`,
      lowest,
      highest,
    )
    .toArray()[0]
  // Written by `openGap` alone.
  return (
    row && {
      pos: row.pos,
      prevs: JSON.parse(row.prevs) as EventId[],
      servers: JSON.parse(row.servers) as ServerName[],
    }
  )
}

/** Notes that events are missing below a position. */
export function openGap(room: RoomContext, { pos, prevs, servers }: Gap): void {
  room.sql.exec(
    'INSERT OR REPLACE INTO gaps (pos, prevs, servers) VALUES (?, ?, ?)',
    pos,
    JSON.stringify(prevs),
    JSON.stringify(servers),
  )
}

/** Forgets a gap that was filled, or moved further down. */
export function closeGap(room: RoomContext, pos: number): void {
  room.sql.exec('DELETE FROM gaps WHERE pos = ?', pos)
}
