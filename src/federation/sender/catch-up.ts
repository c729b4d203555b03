// Destinations that were away for long: instead of all that they have missed, they are told the newest event of each room,
// from which they fetch the others. Meanwhile they cost a row a room, however much happens there.

import type { RoomId } from '../../matrix/event.ts'
import type { Destination, Sender } from './context.ts'
import { release } from './outbox.ts'

/** How many rooms are made good in one transaction, each a call to its room. */
const roomsAtOnce = 20

/** Gives up what waits for a destination, except for what is in flight. Call inside a transaction, then write its row. */
export function giveUpBacklog(sender: Sender, destination: Destination): void {
  const { queue } = destination
  destination.catchingUp = true
  for (const { roomId, position } of queue) noteMissed(sender, destination, roomId, position)
  if (destination.flight) destination.flight = { ...destination.flight, upTo: sender.seq }
  else destination.cursor = sender.seq
  destination.queue = []
  release(sender, queue)
}

/** Whether an event in a room is left to catching up. */
export function isLeftOut({ catchingUp, failures, missed, fetching }: Destination, roomId: RoomId): boolean {
  if (!catchingUp || fetching.has(roomId)) return false
  // One that is back gets what happens in other rooms as usual.
  return failures > 0 || missed === undefined || missed.has(roomId)
}

/** Notes that a destination misses an event. No row if it has missed others of the room. */
export function noteMissed(sender: Sender, destination: Destination, roomId: RoomId, position: number): void {
  const missed = missedRooms(sender, destination)
  if (missed.has(roomId)) return
  missed.set(roomId, position)
  sender.deps.sql.exec('INSERT OR IGNORE INTO catch_up VALUES (?, ?, ?)', destination.id, roomId, position)
}

/** The rooms in which a destination has missed events, with the position of the first. */
export function missedRooms(sender: Sender, destination: Destination): Map<RoomId, number> {
  destination.missed ??= new Map(
    sender.deps.sql
      .exec<{ room_id: string; position: number }>(
        'SELECT room_id, position FROM catch_up WHERE destination = ?',
        destination.id,
      )
      .toArray()
      // Written by `noteMissed` alone.
      .map((row) => [row.room_id as RoomId, row.position]),
  )
  return destination.missed
}

/** What a destination is told to catch up in some rooms. */
export interface MissedNews {
  readonly roomId: RoomId
  readonly texts: readonly string[]
}

/** Fetches the newest events of the next rooms. What comes in them from now on is queued as usual. */
export async function fetchMissed(sender: Sender, destination: Destination): Promise<MissedNews[]> {
  const rooms = [...missedRooms(sender, destination)].slice(0, roomsAtOnce)
  destination.fetching = new Set(rooms.map(([roomId]) => roomId))
  const { newestFor } = sender.deps.rooms
  return await Promise.all(
    rooms.map(async ([roomId, from]) => ({ roomId, texts: await newestFor(roomId, destination.name, from) })),
  )
}

/** Notes that rooms are made good by a transaction that is written in the same breath. Call inside a transaction. */
export function noteMadeGood(sender: Sender, destination: Destination, roomIds: readonly RoomId[]): void {
  const missed = missedRooms(sender, destination)
  for (const roomId of roomIds) {
    missed.delete(roomId)
    sender.deps.sql.exec('DELETE FROM catch_up WHERE destination = ? AND room_id = ?', destination.id, roomId)
  }
  // As long as it fails it goes on missing events.
  destination.catchingUp = missed.size > 0 || destination.failures > 0
}

/** Notes that a destination is back. */
export function noteBack(sender: Sender, destination: Destination): void {
  destination.catchingUp &&= missedRooms(sender, destination).size > 0
}
