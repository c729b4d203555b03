// When something was last said in a room, as opposed to what goes on around it: a position of the log. Each row of the
// log carries the stamp that holds from there on, so that it is found by one look-up.
// Specification: MSC4186 (simplified sliding sync), "RoomResult", bump_stamp.

import type { HubContext } from './context.ts'
import type { EventNews } from './room-news.ts'

const bumpTypes: ReadonlySet<unknown> = new Set([
  'm.room.create',
  'm.room.message',
  'm.room.encrypted',
  'm.sticker',
  'm.call.invite',
  'm.poll.start',
  'm.beacon_info',
])

/** The stamp that holds from an event on, which has this position in the log; 0 where nothing was said yet. */
export function bumpStampFrom(
  hub: HubContext,
  rid: number,
  { event, hidden }: EventNews,
  position: number,
): number {
  const bumps = !hidden && bumpTypes.has(event['type'])
  return bumps ? position : lastBump(hub, rid)
}

/** The stamp that holds in a room now, 0 where nothing was said since this shard heard of it. */
export function lastBump(hub: HubContext, rid: number): number {
  const row = hub.sql
    .exec<{ bump: number }>(
      'SELECT bump FROM log WHERE rid = ? AND bump IS NOT NULL ORDER BY pos DESC LIMIT 1',
      rid,
    )
    .toArray()[0]
  return row?.bump ?? 0
}
