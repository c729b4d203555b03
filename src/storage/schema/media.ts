// Media of local users, as migrations/0003_media.sql makes the table.

import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { UserId } from '../../matrix/event.ts'

export const media = sqliteTable('media', {
  mediaId: text('media_id').primaryKey(),
  userId: text('user_id').$type<UserId>().notNull(),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at'),
  object: text('object'),
  contentType: text('content_type'),
  filename: text('filename'),
  size: integer('size'),
})
