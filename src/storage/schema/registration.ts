// What registering needs: tokens that allow it, and the nonces of registration by shared secret.
// Specification: client-server API, "Token-authenticated registration".

import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'

export const registrationTokens = sqliteTable('registration_tokens', {
  token: text('token').primaryKey(),
  usesAllowed: integer('uses_allowed'),
  completed: integer('completed').notNull().default(0),
  expiresAt: integer('expires_at'),
  makesAdmin: integer('makes_admin', { mode: 'boolean' }).notNull().default(false),
})

export const sharedSecretNonces = sqliteTable('shared_secret_nonces', {
  nonce: text('nonce').primaryKey(),
  expiresAt: integer('expires_at').notNull(),
})
