// Rooms and aliases, as migrations/0002_rooms.sql makes the tables.

import { integer, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { RoomAlias, RoomId, UserId } from '../../matrix/event.ts'

export const roomAliases = sqliteTable('room_aliases', {
  alias: text('alias').$type<RoomAlias>().primaryKey(),
  roomId: text('room_id').$type<RoomId>().notNull(),
  creator: text('creator').$type<UserId>().notNull(),
})

export const rooms = sqliteTable('rooms', {
  roomId: text('room_id').$type<RoomId>().primaryKey(),
  version: text('version').notNull(),
  type: text('type'),
  name: text('name'),
  topic: text('topic'),
  canonicalAlias: text('canonical_alias'),
  avatarUrl: text('avatar_url'),
  joinRule: text('join_rule').notNull(),
  guestCanJoin: integer('guest_can_join', { mode: 'boolean' }).notNull(),
  worldReadable: integer('world_readable', { mode: 'boolean' }).notNull(),
  encryption: text('encryption'),
  joinedMembers: integer('joined_members').notNull(),
  published: integer('published', { mode: 'boolean' }).notNull(),
  search: text('search').notNull(),
  position: integer('position').notNull(),
})
