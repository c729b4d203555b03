// Rooms in the directories of networks, as migrations/0015_appservice_directory.sql makes the table.

import { primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { RoomId } from '../../matrix/event.ts'

export const appserviceDirectory = sqliteTable(
  'appservice_directory',
  {
    appservice: text('appservice').notNull(),
    network: text('network').notNull(),
    roomId: text('room_id').$type<RoomId>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.appservice, table.network, table.roomId] })],
)
