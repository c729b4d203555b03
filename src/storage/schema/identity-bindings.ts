// What users have bound at identity servers, as migrations/0011_identity_bindings.sql makes the table.

import { primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { ServerName, UserId } from '../../matrix/event.ts'

export const identityBindings = sqliteTable(
  'identity_bindings',
  {
    userId: text('user_id').$type<UserId>().notNull(),
    medium: text('medium').notNull(),
    address: text('address').notNull(),
    idServer: text('id_server').$type<ServerName>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.userId, table.medium, table.address, table.idServer] })],
)
