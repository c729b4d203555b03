// Sessions of user-interactive authentication: they outlive an isolate.
// Specification: client-server API, "User-Interactive Authentication API".

import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { UserId } from '../../matrix/event.ts'

export const interactiveAuthSessions = sqliteTable(
  'interactive_auth_sessions',
  {
    sessionId: text('session_id').primaryKey(),
    operation: text('operation').notNull(),
    bodyHash: text('body_hash').notNull(),
    userId: text('user_id').$type<UserId>(),
    completed: text('completed').notNull().default('[]'),
    registrationToken: text('registration_token'),
    expiresAt: integer('expires_at').notNull(),
    offer: text('offer').notNull().default('{"flows":[],"params":{}}'),
    data: text('data').notNull().default('{}'),
  },
  (table) => [index('interactive_auth_expiry').on(table.expiresAt)],
)
