// Profiles of local users. Specification: client-server API, "Profiles".

import { sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { UserId } from '../../matrix/event.ts'

export const profiles = sqliteTable('profiles', {
  userId: text('user_id').$type<UserId>().primaryKey(),
  displayname: text('displayname'),
  avatarUrl: text('avatar_url'),
  fields: text('fields').notNull().default('{}'),
})
