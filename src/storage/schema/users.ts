// Local users, as migrations/0001_accounts.sql makes the table.

import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { UserId } from '../../matrix/event.ts'

export const users = sqliteTable('users', {
  userId: text('user_id').$type<UserId>().primaryKey(),
  shard: integer('shard').notNull(),
  passwordHash: text('password_hash'),
  admin: integer('admin', { mode: 'boolean' }).notNull().default(false),
  guest: integer('guest', { mode: 'boolean' }).notNull().default(false),
  locked: integer('locked', { mode: 'boolean' }).notNull().default(false),
  suspended: integer('suspended', { mode: 'boolean' }).notNull().default(false),
  erased: integer('erased', { mode: 'boolean' }).notNull().default(false),
  createdAt: integer('created_at').notNull(),
  deactivatedAt: integer('deactivated_at'),
})
