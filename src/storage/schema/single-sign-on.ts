// Single sign-on, as migrations/0014_single_sign_on.sql makes the tables.
// Specification: client-server API, "SSO client login/authentication".

import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from 'drizzle-orm/sqlite-core'
import type { UserId } from '../../matrix/event.ts'

export const ssoLinks = sqliteTable(
  'sso_links',
  {
    provider: text('provider').notNull(),
    subject: text('subject').notNull(),
    userId: text('user_id').$type<UserId>().notNull(),
    linkedAt: integer('linked_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.provider, table.subject] }),
    uniqueIndex('sso_links_user').on(table.userId, table.provider),
  ],
)

export const ssoAttempts = sqliteTable(
  'sso_attempts',
  {
    id: text('id').primaryKey(),
    browser: text('browser').notNull(),
    provider: text('provider').notNull(),
    nonce: text('nonce').notNull(),
    codeVerifier: text('code_verifier').notNull(),
    redirectUrl: text('redirect_url'),
    action: text('action').$type<'login' | 'register'>(),
    authSession: text('auth_session'),
    answered: integer('answered', { mode: 'boolean' }).notNull().default(false),
    userId: text('user_id').$type<UserId>(),
    identity: text('identity'),
    expiresAt: integer('expires_at').notNull(),
  },
  (table) => [index('sso_attempts_expiry').on(table.expiresAt)],
)
