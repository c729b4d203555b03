// In which room an event is, for events that other servers may ask for by their id alone.

import { eq, sql } from 'drizzle-orm'
import type { RoomId } from '../matrix/event.ts'
import { database, statement } from './database.ts'
import { eventRooms } from './schema/event-rooms.ts'

interface Database {
  readonly DB: D1Database
}

/** Notes events of a room: one row each. Those that are noted already stay as they are. */
export async function indexEvents(env: Database, roomId: RoomId, eventIds: readonly string[]): Promise<void> {
  await statement(
    env,
    sql`INSERT OR IGNORE INTO event_rooms (event_id, room_id)
        SELECT value, ${roomId} FROM json_each(${JSON.stringify(eventIds)})`,
  ).run()
}

/** The room of an event, undefined for an unknown event. */
export async function findRoomOfEvent(env: Database, eventId: string): Promise<RoomId | undefined> {
  const row = await database(env)
    .select({ roomId: eventRooms.roomId })
    .from(eventRooms)
    .where(eq(eventRooms.eventId, eventId))
    .get()
  return row?.roomId
}
