// Previews of web pages, as migrations/0013_url_previews.sql makes the table.

import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const urlPreviews = sqliteTable(
  'url_previews',
  {
    page: text('page').notNull(),
    fetchedAt: integer('fetched_at').notNull(),
    expiresAt: integer('expires_at').notNull(),
    answer: text('answer').notNull(),
  },
  (table) => [primaryKey({ columns: [table.page, table.fetchedAt] })],
)
