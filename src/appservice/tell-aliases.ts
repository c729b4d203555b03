// Telling a room that aliases of this server lead there, by which application services may be interested in it.
// Specification: application service API, "Registration".

import { type Env, roomStub } from '../env.ts'
import type { RoomAlias, RoomId } from '../matrix/event.ts'
import { listeners } from './listeners.ts'
import { looksAfterAlias } from './namespaces.ts'
import { interestMayCome } from './tell-room-edu.ts'

/** Tells a room of aliases that have come, if anybody could be interested in them. */
export async function tellAliases(env: Env, roomId: RoomId, aliases: readonly RoomAlias[]): Promise<void> {
  const isOfUse = listeners(env).some((appservice) =>
    aliases.some((alias) => looksAfterAlias(appservice, alias)),
  )
  if (!isOfUse) return
  await roomStub(env, roomId).aliasesChanged()
  interestMayCome(env, roomId)
}
