// Which room an event is in, as migrations/0005_federation_requests.sql makes the table.

import { sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { RoomId } from '../../matrix/event.ts'

export const eventRooms = sqliteTable('event_rooms', {
  eventId: text('event_id').primaryKey(),
  roomId: text('room_id').$type<RoomId>().notNull(),
})
