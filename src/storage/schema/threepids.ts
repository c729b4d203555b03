// Third-party identifiers of accounts, and their validation. Specification: appendices, "3PID Types".

import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { UserId } from '../../matrix/event.ts'

export const threepids = sqliteTable(
  'threepids',
  {
    medium: text('medium').$type<'email'>().notNull(),
    address: text('address').notNull(),
    userId: text('user_id').$type<UserId>().notNull(),
    validatedAt: integer('validated_at').notNull(),
    addedAt: integer('added_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.medium, table.address] }),
    index('threepids_user').on(table.userId),
  ],
)

export const threepidValidations = sqliteTable(
  'threepid_validations',
  {
    sid: text('sid').primaryKey(),
    purpose: text('purpose').$type<'register' | 'password' | 'add'>().notNull(),
    medium: text('medium').$type<'email'>().notNull(),
    address: text('address').notNull(),
    tokenHash: text('token_hash'),
    sendAttempt: integer('send_attempt').notNull(),
    nextLink: text('next_link'),
    expiresAt: integer('expires_at').notNull(),
    validatedAt: integer('validated_at'),
    usedBy: text('used_by').$type<UserId>(),
  },
  (table) => [index('threepid_validations_expiry').on(table.expiresAt)],
)

export const validationMails = sqliteTable('validation_mails', {
  addressHash: text('address_hash').primaryKey(),
  since: integer('since').notNull(),
  mails: integer('mails').notNull(),
})
