// Signing keys of other servers, as migrations/0004_federation.sql makes the table.

import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { ServerName } from '../../matrix/event.ts'

export const remoteKeys = sqliteTable(
  'remote_keys',
  {
    serverName: text('server_name').$type<ServerName>().notNull(),
    keyId: text('key_id').notNull(),
    publicKey: text('public_key').notNull(),
    validUntilTs: integer('valid_until_ts').notNull(),
    old: integer('old', { mode: 'boolean' }).notNull(),
    fetchedAt: integer('fetched_at').notNull(),
    response: text('response'),
  },
  (table) => [primaryKey({ columns: [table.serverName, table.keyId] })],
)
