// Rooms of server notices, as migrations/0008_server_notices.sql makes the table.

import { sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { RoomId, UserId } from '../../matrix/event.ts'

export const serverNoticeRooms = sqliteTable('server_notice_rooms', {
  userId: text('user_id').$type<UserId>().primaryKey().notNull(),
  roomId: text('room_id').$type<RoomId>().notNull(),
})
