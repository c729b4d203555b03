// OpenID tokens, as migrations/0005_federation_requests.sql makes the table.

import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { UserId } from '../../matrix/event.ts'

export const openidTokens = sqliteTable('openid_tokens', {
  tokenHash: text('token_hash').primaryKey(),
  userId: text('user_id').$type<UserId>().notNull(),
  expiresAt: integer('expires_at').notNull(),
})
