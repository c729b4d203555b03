// Media of other servers that is kept here, as migrations/0006_remote_media.sql makes the table.

import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { ServerName } from '../../matrix/event.ts'

export const remoteMedia = sqliteTable(
  'remote_media',
  {
    serverName: text('server_name').$type<ServerName>().notNull(),
    mediaId: text('media_id').notNull(),
    variant: text('variant').notNull(),
    object: text('object'),
    contentType: text('content_type').notNull(),
    filename: text('filename'),
    size: integer('size').notNull(),
    usedAt: integer('used_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.serverName, table.mediaId, table.variant] })],
)
