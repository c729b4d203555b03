// Documents that users accepted, as migrations/0010_accepted_policies.sql makes the table.

import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { UserId } from '../../matrix/event.ts'

export const acceptedPolicies = sqliteTable(
  'accepted_policies',
  {
    userId: text('user_id').$type<UserId>().notNull(),
    policyId: text('policy_id').notNull(),
    version: text('version').notNull(),
    acceptedAt: integer('accepted_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.userId, table.policyId, table.version] })],
)
