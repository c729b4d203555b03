// The users that somebody wants to invite. Specification: client-server API, "Joining rooms", "Invite permission".

import { askForInvited } from '../appservice/query.ts'
import { type Env, hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { UserId } from '../matrix/event.ts'
import { findLocalMembers, type LocalMember } from '../storage/local-members.ts'

/**
 * What the member events of some users of this server say, in the order given. M_NOT_FOUND for those who do not exist:
 * nobody would ever see the invite. 408 where an application service does not say whether they do.
 * M_INVITE_BLOCKED (403) for those who want none by this inviter.
 */
export async function invitees(
  env: Env,
  userIds: readonly UserId[],
  inviter: UserId,
): Promise<LocalMember[]> {
  const members = await existingMembers(env, userIds, inviter)
  await Promise.all(members.map((member) => refuseBlocked(env, member, inviter)))
  return members
}

/** The same for whoever invites. M_NOT_FOUND, 408. */
export async function existingMembers(
  env: Env,
  userIds: readonly UserId[],
  inviter?: UserId,
): Promise<LocalMember[]> {
  if (userIds.length === 0) return []
  const known = await findLocalMembers(env, userIds)
  const unknown = userIds.filter((userId) => !known.has(userId))
  const found = (await askForInvited(env, unknown, inviter)) ? await findLocalMembers(env, userIds) : known
  return userIds.map((userId) => {
    const member = found.get(userId)
    if (!member) throw new MatrixError('M_NOT_FOUND', 404, `${userId} is no user of this server`)
    return member
  })
}

/** Since v1.18: users may refuse invites. M_INVITE_BLOCKED (403). One that is ignored is taken, and not shown. */
export async function refuseBlocked(
  env: Env,
  { userId, shard }: LocalMember,
  inviter: UserId,
): Promise<void> {
  if ((await hubStub(env, shard).invitePermission(userId, inviter)) !== 'block') return
  throw new MatrixError('M_INVITE_BLOCKED', 403, `${userId} does not accept the invite`)
}
