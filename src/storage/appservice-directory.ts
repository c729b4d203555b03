// The rooms that application services publish for networks that they reach.
// Specification: application service API, "Published room directories".

import { and, eq } from 'drizzle-orm'
import type { Env } from '../env.ts'
import type { RoomId } from '../matrix/event.ts'
import { database } from './database.ts'
import { appserviceDirectory } from './schema/appservice-directory.ts'

interface NetworkRoom {
  /** The id of the application service. */
  readonly appservice: string
  readonly network: string
  readonly roomId: RoomId
}

/** Shows a room in the directory of a network. */
export async function publishInNetwork(env: Env, room: NetworkRoom): Promise<void> {
  await database(env).insert(appserviceDirectory).values(room).onConflictDoNothing()
}

/** Shows it there no more. */
export async function withdrawFromNetwork(
  env: Env,
  { appservice, network, roomId }: NetworkRoom,
): Promise<void> {
  await database(env)
    .delete(appserviceDirectory)
    .where(
      and(
        eq(appserviceDirectory.appservice, appservice),
        eq(appserviceDirectory.network, network),
        eq(appserviceDirectory.roomId, roomId),
      ),
    )
}
