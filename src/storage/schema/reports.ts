// What users reported, as migrations/0007_reports.sql makes the table.

import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { EventId, RoomId, UserId } from '../../matrix/event.ts'

export const reports = sqliteTable('reports', {
  id: integer('id').primaryKey(),
  reporter: text('reporter').$type<UserId>().notNull(),
  roomId: text('room_id').$type<RoomId>(),
  eventId: text('event_id').$type<EventId>(),
  userId: text('user_id').$type<UserId>(),
  reason: text('reason').notNull(),
  score: integer('score'),
  createdAt: integer('created_at').notNull(),
})
