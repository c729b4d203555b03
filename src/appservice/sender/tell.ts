// What an AppserviceSender is told. Events are on disk when a call ends: a crash between any two lines of it costs a
// repetition, which whoever told asks for and which is known by its position, never an event, nor their order.
// Specification: application service API, "Pushing events".

import type { EventId, RoomId, UserId } from '../../matrix/event.ts'
import type { JsonObject } from '../../matrix/json.ts'
import { armAlarm, type Sender } from './context.ts'
import { eventsIn, mostEvents, newFlight, takeOff, writeFlight } from './flight.ts'
import { rememberInterest } from './interest.ts'
import { pump } from './work.ts'

export interface ToldEvent {
  readonly position: number
  /** The event as clients see it, as JSON text. */
  readonly text: string
}

export interface RoomNews {
  /** In the order of the room. */
  readonly events: readonly ToldEvent[]
  /** Whether the application service is interested in what happens in the room from now on. */
  readonly interested: boolean
}

/** An event that changes a membership in a room that lives on other servers alone. */
export interface ElsewhereEvent {
  readonly roomId: RoomId
  /** The user that the application service looks after. */
  readonly userId: UserId
  readonly eventId: EventId
  /** As clients see it. */
  readonly event: JsonObject
}

// A bound on memory; what was dropped is read again.
const rememberedRooms = 10_000

/** Takes over events of a room. What was told before is skipped: rooms tell at least once. */
export function tell(sender: Sender, roomId: RoomId, { events, interested }: RoomNews): void {
  rememberInterest(sender, roomId, interested)
  const known = toldUpTo(sender, roomId)
  const fresh = events.filter(({ position }) => position > known)
  const last = fresh.at(-1)
  if (!last) return
  keep(
    sender,
    fresh.map(({ text }) => text),
    () => {
      sender.deps.sql.exec(
        `INSERT INTO rooms VALUES (?, ?) ON CONFLICT (room_id) DO UPDATE SET position = excluded.position`,
        roomId,
        last.position,
      )
    },
  )
  if (sender.toldUpTo.size >= rememberedRooms) sender.toldUpTo.clear()
  sender.toldUpTo.set(roomId, last.position)
  pump(sender)
}

function toldUpTo(sender: Sender, roomId: RoomId): number {
  const known = sender.toldUpTo.get(roomId)
  if (known !== undefined) return known
  const row = sender.deps.sql
    .exec<{ position: number }>('SELECT position FROM rooms WHERE room_id = ?', roomId)
    .toArray()[0]
  return row?.position ?? 0
}

/** Takes over an event of a room elsewhere, unless it is the one that was told last. */
export function tellElsewhere(sender: Sender, { roomId, userId, eventId, event }: ElsewhereEvent): void {
  const { sql } = sender.deps
  const last = sql
    .exec<{ event_id: string }>(
      'SELECT event_id FROM elsewhere WHERE user_id = ? AND room_id = ?',
      userId,
      roomId,
    )
    .toArray()[0]
  if (last?.event_id === eventId) return
  keep(sender, [JSON.stringify(event)], () => {
    sql.exec(
      `INSERT INTO elsewhere VALUES (?, ?, ?)
       ON CONFLICT (user_id, room_id) DO UPDATE SET event_id = excluded.event_id`,
      userId,
      roomId,
      eventId,
    )
  })
  pump(sender)
}

/** Writes events down, together with what they are known by. */
function keep(sender: Sender, texts: readonly string[], writeCursor: () => void): void {
  const { now, transact, lookAfterMs } = sender.deps
  // Before anything is written: where no alarm is pending, nothing is left to do.
  armAlarm(sender, now() + lookAfterMs)
  const rows = inRows(texts)
  const [first] = rows
  // Who finds nobody before them need not wait.
  const isNext = sender.flight === undefined && !sender.waiting && rows.length === 1
  const flight = isNext && first ? newFlight(sender, eventsIn(asList(first))) : undefined
  transact(() => {
    writeCursor()
    if (flight) writeFlight(sender, flight)
    else enqueue(sender, rows)
  })
  // Memory follows what is committed.
  if (flight) return takeOff(sender, flight)
  sender.seq += rows.length
  sender.waiting = true
}

function enqueue({ deps, seq }: Sender, rows: readonly (readonly string[])[]): void {
  for (const [i, texts] of rows.entries()) {
    deps.sql.exec('INSERT INTO outbox VALUES (?, ?, ?)', seq + 1 + i, asList(texts), texts.length)
  }
}

function asList(texts: readonly string[]): string {
  return `[${texts.join()}]`
}

// A row has two megabytes at most, an event with what it replaces and what one is shown of its room much less.
const mostCharacters = 250_000

function inRows(texts: readonly string[]): string[][] {
  const rows: string[][] = []
  let characters = Infinity
  for (const text of texts) {
    characters += text.length
    const row = rows.at(-1)
    if (row && row.length < mostEvents && characters <= mostCharacters) row.push(text)
    else {
      rows.push([text])
      characters = text.length
    }
  }
  return rows
}
