// The room aliases that this server hosts. Specification: client-server API, "Room aliases".

import { and, eq, inArray } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { RoomAlias, RoomId } from '../matrix/event.ts'
import { database } from './database.ts'
import { roomAliases } from './schema/rooms.ts'

export type HostedAlias = typeof roomAliases.$inferSelect

// D1 takes at most 100 parameters in a query.
const parametersPerQuery = 100

/** An alias of this server, undefined where nobody has set it. */
export async function findAlias(env: Env, alias: RoomAlias): Promise<HostedAlias | undefined> {
  return await database(env).select().from(roomAliases).where(eq(roomAliases.alias, alias)).get()
}

/** Which of some aliases point to a room. */
export async function aliasesPointingTo(
  env: Env,
  roomId: RoomId,
  aliases: readonly RoomAlias[],
): Promise<Set<RoomAlias>> {
  const found = new Set<RoomAlias>()
  for (let start = 0; start < aliases.length; start += parametersPerQuery - 1) {
    const chunk = aliases.slice(start, start + parametersPerQuery - 1)
    const rows = await database(env)
      .select({ alias: roomAliases.alias })
      .from(roomAliases)
      .where(and(eq(roomAliases.roomId, roomId), inArray(roomAliases.alias, chunk)))
    for (const { alias } of rows) found.add(alias)
  }
  return found
}

/** The aliases of a room, sorted. */
export async function aliasesOfRoom(env: Env, roomId: RoomId): Promise<RoomAlias[]> {
  const rows = await database(env)
    .select({ alias: roomAliases.alias })
    .from(roomAliases)
    .where(eq(roomAliases.roomId, roomId))
    .orderBy(roomAliases.alias)
  return rows.map(({ alias }) => alias)
}

/** Sets an alias. Answers false when it is taken. */
export async function insertAlias(env: Env, alias: HostedAlias): Promise<boolean> {
  const rows = await database(env).insert(roomAliases).values(alias).onConflictDoNothing().returning()
  return rows.length > 0
}

/** Removes an alias that points to a room. Answers false when there was none. */
export async function deleteAlias(env: Env, alias: RoomAlias, roomId: RoomId): Promise<boolean> {
  const rows = await database(env)
    .delete(roomAliases)
    .where(and(eq(roomAliases.alias, alias), eq(roomAliases.roomId, roomId)))
    .returning()
  return rows.length > 0
}

/** Points all aliases of a room to another one. */
export async function moveAliases(env: Env, from: RoomId, to: RoomId): Promise<void> {
  await database(env).update(roomAliases).set({ roomId: to }).where(eq(roomAliases.roomId, from))
}
