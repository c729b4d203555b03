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
  room.told.set(sink, row?.pos ?? 0)
  return row?.pos ?? 0
}

/** Remembers in memory that a sink acknowledged everything up to a position; `writeCursors` puts it on disk. */
export function acknowledge(room: RoomContext, sink: string, position: number): void {
  room.told.set(sink, Math.max(position, toldUpTo(room, sink)))
}

/** Writes the cursors down. */
export function writeCursors(room: RoomContext): void {
  for (const [sink, position] of room.told) {
    room.sql.exec(
      `INSERT INTO sinks VALUES (?, ?)
       ON CONFLICT (name) DO UPDATE SET pos = excluded.pos WHERE excluded.pos > sinks.pos`,
      sink,
      position,
    )
  }
}
