// The events table is the outbox: cursors say how far each sink was told. Sinks are told right after a commit; the
// alarm tells again whoever could not be reached, and writes the cursors down. Everything is at least once and
// idempotent, so that a crash at any point costs a repetition, never an event.

import type { RoomContext } from './context.ts'

/** How long after the first untold event the alarm looks after what is left, in milliseconds. */
const alarmDelayMs = 5_000

/** Arms the alarm unless one is pending: one row written a burst of events, not one an event. */
export function armAlarm(room: RoomContext): void {
  if (room.alarmArmed) return
  room.alarmArmed = true
  void room.storage.setAlarm(room.now() + alarmDelayMs)
}

/** How far a sink was told: the position of the last event that it acknowledged. */
export function toldUpTo(room: RoomContext, sink: string): number {
  const known = room.told.get(sink)
  if (known !== undefined) return known
  const row = room.sql.exec<{ pos: number }>('SELECT pos FROM sinks WHERE name = ?', sink).toArray()[0]
  const position = row?.pos ?? (sink === senderSink ? leastOfHubs(room) : 0)
  room.told.set(sink, position)
  return position
}

/**
 * The FederationSender is told together with the Hub shards, so that its cursor is theirs: it has a row of its own only
 * while it is behind them. Most rooms never write it.
 */
export const senderSink = 'sender'

function leastOfHubs(room: RoomContext): number {
  const row = room.sql
    .exec<{ pos: number }>(
      `SELECT min(ifnull(pos, 0)) AS pos FROM (
         SELECT 'hub-' || shard AS name FROM local_users
         UNION SELECT 'hub-0' WHERE NOT EXISTS (SELECT 1 FROM local_users)
       ) LEFT JOIN sinks USING (name)`,
    )
    .one()
  return row.pos
}

/** Remembers in memory that a sink acknowledged everything up to a position; `writeCursors` puts it on disk. */
export function acknowledge(room: RoomContext, sink: string, position: number): void {
  room.told.set(sink, Math.max(position, toldUpTo(room, sink)))
}

/** Writes the cursors down. */
export function writeCursors(room: RoomContext): void {
  for (const [sink, position] of room.told) {
    if (sink === senderSink) continue
    room.sql.exec(
      `INSERT INTO sinks VALUES (?, ?)
       ON CONFLICT (name) DO UPDATE SET pos = excluded.pos WHERE excluded.pos > sinks.pos`,
      sink,
      position,
    )
  }
  writeSenderCursor(room)
}

function writeSenderCursor(room: RoomContext): void {
  const position = toldUpTo(room, senderSink)
  if (position >= leastOfHubs(room)) room.sql.exec('DELETE FROM sinks WHERE name = ?', senderSink)
  else {
    room.sql.exec(
      `INSERT INTO sinks VALUES (?, ?)
       ON CONFLICT (name) DO UPDATE SET pos = excluded.pos WHERE excluded.pos <> sinks.pos`,
      senderSink,
      position,
    )
  }
}
