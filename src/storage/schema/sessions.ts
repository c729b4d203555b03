// Access, refresh and login tokens, as hashes. Specification: client-server API, "Using access tokens".

import { isNotNull } from 'drizzle-orm'
import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { UserId } from '../../matrix/event.ts'

export const sessions = sqliteTable(
  'sessions',
  {
    tokenHash: text('token_hash').primaryKey(),
    userId: text('user_id').$type<UserId>().notNull(),
    deviceId: text('device_id').notNull(),
    generation: integer('generation').notNull(),
    createdAt: integer('created_at').notNull(),
    expiresAt: integer('expires_at'),
    supersedes: text('supersedes'),
    clientId: text('client_id'),
  },
  (table) => [index('sessions_device').on(table.userId, table.deviceId)],
)

export const refreshTokens = sqliteTable(
  'refresh_tokens',
  {
    tokenHash: text('token_hash').primaryKey(),
    userId: text('user_id').$type<UserId>().notNull(),
    deviceId: text('device_id').notNull(),
    generation: integer('generation').notNull(),
    createdAt: integer('created_at').notNull(),
    supersedes: text('supersedes'),
    invalidatedAt: integer('invalidated_at'),
    clientId: text('client_id'),
    scope: text('scope'),
  },
  (table) => [
    index('refresh_tokens_client').on(table.clientId).where(isNotNull(table.clientId)),
    index('refresh_tokens_device').on(table.userId, table.deviceId),
  ],
)

export const loginTokens = sqliteTable('login_tokens', {
  tokenHash: text('token_hash').primaryKey(),
  userId: text('user_id').$type<UserId>().notNull(),
  expiresAt: integer('expires_at').notNull(),
})
