// The events table is the outbox: cursors say how far each sink was told. Sinks are told right after a commit; the
// alarm tells again whoever could not be reached. Everything is at least once and idempotent, so that a crash at any
// point costs a repetition, never an event.
//
// Cursors are made to be written for nothing: they go along with the next event's row. What was told since is told
// once more after the room was unloaded; the Hub and the FederationSender know by position what they have.

import { listeners } from '../appservice/listeners.ts'
import type { RoomContext } from './context.ts'
import { livePosition, toldAtLiveEnd } from './events.ts'

/** How soon the alarm comes where something is left to do, in milliseconds. */
export const soonMs = 5_000

/** Arms the alarm unless it comes until then anyway: one row written a burst of events, not one an event. */
export function armAlarm(room: RoomContext, delayMs: number): void {
  const time = room.now() + delayMs
  if (room.alarmAt !== undefined && room.alarmAt <= time) return
  room.alarmAt = time
  void room.storage.setAlarm(time)
}

/** The FederationSender is told together with the Hub shards. */
export const senderSink = 'sender'

/** What the directory is told follows state events alone, and can be forgotten: its cursor has a row of its own. */
export const indexSink = 'index'

/** Each application service that is sent events is told on its own. */
export function appserviceSink(id: string): string {
  return `${appservicePrefix}${id}`
}

const appservicePrefix = 'as-'

/** How far a sink was told: the position of the last event that it acknowledged. */
export function toldUpTo(room: RoomContext, sink: string): number {
  const known = room.told.get(sink)
  if (known !== undefined) return known
  const position = writtenCursor(room, sink) ?? firstCursor(room, sink)
  room.told.set(sink, position)
  return position
}

function firstCursor(room: RoomContext, sink: string): number {
  if (sink === senderSink) return leastOfHubs(room)
  // Who is registered now is told of nothing that was before.
  return sink.startsWith(appservicePrefix) ? livePosition(room) : 0
}

/** The cursor as the disk has it. */
function writtenCursor(room: RoomContext, sink: string): number | undefined {
  const row = room.sql.exec<{ pos: number }>('SELECT pos FROM sinks WHERE name = ?', sink).toArray()[0]
  const withEvent = sink === indexSink ? undefined : toldAtLiveEnd(room)[sink]
  return row || withEvent !== undefined ? Math.max(row?.pos ?? 0, withEvent ?? 0) : undefined
}

// As it was before cursors went along with events.
function leastOfHubs(room: RoomContext): number {
  const names = room.sql
    .exec<{ name: string }>(
      `SELECT DISTINCT 'hub-' || shard AS name FROM local_users
       UNION SELECT 'hub-0' WHERE NOT EXISTS (SELECT 1 FROM local_users)`,
    )
    .toArray()
  return Math.min(...names.map(({ name }) => toldUpTo(room, name)))
}

/** Remembers that a sink acknowledged everything up to a position. */
export function acknowledge(room: RoomContext, sink: string, position: number): void {
  room.told.set(sink, Math.max(position, toldUpTo(room, sink)))
}

/** The cursors that go along with the next event. */
export function cursorsNow(room: RoomContext): Record<string, number> {
  // Not to be taken for that of the Hubs again.
  toldUpTo(room, senderSink)
  const sinks = new Set(listeners(room.env).map(({ id }) => appserviceSink(id)))
  for (const sink of sinks) toldUpTo(room, sink)
  const { [indexSink]: _, ...cursors } = { ...toldAtLiveEnd(room), ...Object.fromEntries(room.told) }
  // One that is registered no more, and comes back later, is new.
  const gone = Object.keys(cursors).filter((sink) => sink.startsWith(appservicePrefix) && !sinks.has(sink))
  for (const sink of gone) delete cursors[sink]
  return cursors
}

// So many events are told again without a thought.
const slack = 20

/** Writes those cursors down that no event has taken along for long. */
export function writeCursors(room: RoomContext): void {
  for (const [sink, position] of room.told) {
    // These can be forgotten: what is told again is known.
    if (sink.startsWith(appservicePrefix)) continue
    const written = writtenCursor(room, sink) ?? 0
    if (position - written <= (sink === indexSink ? 0 : slack)) continue
    room.sql.exec(
      `INSERT INTO sinks VALUES (?, ?)
       ON CONFLICT (name) DO UPDATE SET pos = excluded.pos WHERE excluded.pos > sinks.pos`,
      sink,
      position,
    )
  }
}
