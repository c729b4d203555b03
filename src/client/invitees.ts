// The users that somebody wants to invite. Specification: client-server API, "Joining rooms", "Invite permission".

import { type Env, hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { isJsonObject, property } from '../matrix/json.ts'
import { findLocalMembers, type LocalMember } from '../storage/local-members.ts'

/**
 * What the member events of some users of this server say, in the order given. M_NOT_FOUND for those who do not exist:
 * nobody would ever see the invite. M_INVITE_BLOCKED (403) for those who want none.
 */
export async function invitees(env: Env, userIds: readonly UserId[]): Promise<LocalMember[]> {
  if (userIds.length === 0) return []
  const found = await findLocalMembers(env, userIds)
  const members = userIds.map((userId) => {
    const member = found.get(userId)
    if (!member) throw new MatrixError('M_NOT_FOUND', 404, `${userId} is no user of this server`)
    return member
  })
  await Promise.all(members.map((member) => refuseBlocked(env, member)))
  return members
}

/** Since v1.18: users may refuse all invites. M_INVITE_BLOCKED (403). */
export async function refuseBlocked(env: Env, { userId, shard }: LocalMember): Promise<void> {
  const stored = await hubStub(env, shard).getAccountData(userId, null, 'm.invite_permission_config')
  const content: unknown = stored === undefined ? undefined : JSON.parse(stored)
  if (isJsonObject(content) && property(content, 'default_action') === 'block') {
    throw new MatrixError('M_INVITE_BLOCKED', 403, `${userId} accepts no invites`)
  }
}
