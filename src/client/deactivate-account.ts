// The end of an account, whoever has asked for it. Specification: client-server API, "Account deactivation".

import { type Env, hubStub } from '../env.ts'
import { unbindUser } from '../identity/unbind-user.ts'
import { log } from '../log.ts'
import type { ServerName } from '../matrix/event.ts'
import { threepidsOf } from '../storage/threepids.ts'
import { deactivateUser, type User } from '../storage/users.ts'

/** Ends an account for good. Answers whether its addresses were unbound, as `id_server_unbind_result`. */
export async function deactivateAccount(
  env: Env,
  { userId, shard }: Pick<User, 'userId' | 'shard'>,
  { erase, idServer }: { readonly erase: boolean; readonly idServer: ServerName | undefined },
): Promise<'success' | 'no-support'> {
  const contacts = idServer === undefined ? [] : await threepidsOf(env, userId)
  const hub = hubStub(env, shard)
  // A crash in between keeps nobody in their rooms.
  await hub.expectRoomsTask(userId, 'leave')
  // Tokens and password first: from here on nobody acts as this user.
  await deactivateUser(env, userId, erase, Date.now())
  log({ event: 'user_deactivated', user_id: userId })
  await hub.deleteDevices(userId, { allBut: undefined })
  if (erase) await hub.eraseAccountData(userId)
  // Nobody can ask for the keys again, and nobody else can use them.
  await hub.eraseKeyBackups(userId)
  await hub.eraseSigningKeys(userId)
  await hub.startRoomsTask(userId, 'leave')
  return await unbindUser(env, userId, { idServer, contacts })
}
