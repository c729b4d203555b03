// The rooms in which users get notices of the server.

import { eq } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { database } from './database.ts'
import { serverNoticeRooms } from './schema/server-notices.ts'

/** The notices room of a user. */
export async function noticeRoomOf(env: Env, userId: UserId): Promise<RoomId | undefined> {
  const row = await database(env)
    .select({ roomId: serverNoticeRooms.roomId })
    .from(serverNoticeRooms)
    .where(eq(serverNoticeRooms.userId, userId))
    .get()
  return row?.roomId
}

/** Keeps the notices room of a user, unless there is one already. Answers the one that is kept. */
export async function keepNoticeRoom(env: Env, userId: UserId, roomId: RoomId): Promise<RoomId> {
  await database(env).insert(serverNoticeRooms).values({ userId, roomId }).onConflictDoNothing()
  return (await noticeRoomOf(env, userId)) ?? roomId
}
