// The OAuth 2.0 API, as migrations/0016_oauth.sql makes the tables. Specification: client-server API, "OAuth 2.0 API".

import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { UserId } from '../../matrix/event.ts'

export const oauthClients = sqliteTable(
  'oauth_clients',
  {
    clientId: text('client_id').primaryKey(),
    metadata: text('metadata').notNull(),
    registeredAt: integer('registered_at').notNull(),
  },
  (table) => [index('oauth_clients_registration').on(table.registeredAt)],
)

export const browserSessions = sqliteTable(
  'oauth_browser_sessions',
  {
    cookieHash: text('cookie_hash').primaryKey(),
    userId: text('user_id').$type<UserId>().notNull(),
    expiresAt: integer('expires_at').notNull(),
  },
  (table) => [index('oauth_browser_sessions_user').on(table.userId)],
)

export const oauthCodes = sqliteTable(
  'oauth_codes',
  {
    codeHash: text('code_hash').primaryKey(),
    clientId: text('client_id').notNull(),
    userId: text('user_id').$type<UserId>().notNull(),
    redirectUri: text('redirect_uri').notNull(),
    codeChallenge: text('code_challenge').notNull(),
    scope: text('scope').notNull(),
    deviceId: text('device_id').notNull(),
    expiresAt: integer('expires_at').notNull(),
    taken: integer('taken', { mode: 'boolean' }).notNull().default(false),
    replayed: integer('replayed', { mode: 'boolean' }).notNull().default(false),
    generation: integer('generation'),
  },
  (table) => [index('oauth_codes_expiry').on(table.expiresAt)],
)

export const oauthDeviceCodes = sqliteTable(
  'oauth_device_codes',
  {
    codeHash: text('code_hash').primaryKey(),
    userCode: text('user_code').notNull().unique(),
    clientId: text('client_id').notNull(),
    scope: text('scope').notNull(),
    deviceId: text('device_id').notNull(),
    expiresAt: integer('expires_at').notNull(),
    nextPollAt: integer('next_poll_at').notNull(),
    intervalMs: integer('interval_ms').notNull(),
    denied: integer('denied', { mode: 'boolean' }).notNull().default(false),
    userId: text('user_id').$type<UserId>(),
  },
  (table) => [index('oauth_device_codes_expiry').on(table.expiresAt)],
)

export const crossSigningResets = sqliteTable('cross_signing_resets', {
  userId: text('user_id').$type<UserId>().primaryKey(),
  expiresAt: integer('expires_at').notNull(),
})
