// Membership changes as the endpoints ask for them: with the profile of whoever they are about, and for restricted
// rooms with the answer to which rooms the user is in, which only their Hub knows.

import { writeToRoom } from '../federation/write-to-room.ts'
import { config } from '../config.ts'
import { type Env, hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import type { EventId, RoomId, UserId } from '../matrix/event.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { EventDraft } from '../room/build-event.ts'
import type { MembershipAction, MembershipAnswer } from '../room/membership.ts'
import { findLocalMembers } from '../storage/local-members.ts'
import { shardOf } from '../storage/users.ts'
import { inviteRemoteUser, type UserInvite } from './invite-remote-user.ts'
import { invitees } from './invitees.ts'
import { isLocal } from './path-params.ts'

/** The time of a member event, where an application service gives it one. */
type EventTime = Pick<EventDraft, 'origin_server_ts'>

/**
 * Something the user does about themselves in a room that this server is in: `join`, `knock` or `leave`. M_FORBIDDEN where it is
 * not in the room, M_UNABLE_TO_GRANT_JOIN where nobody here may let the user in.
 */
export async function changeOwnMembership(
  c: AppContext,
  roomId: RoomId,
  action: 'join' | 'knock' | 'leave',
  content: JsonObject,
  time: EventTime = {},
): Promise<EventId> {
  const answer = await askRoom(c, roomId, action, content, time)
  if ('eventId' in answer) return answer.eventId
  if (answer.resident) {
    throw new MatrixError('M_UNABLE_TO_GRANT_JOIN', 400, 'No user of this server can let you in')
  }
  throw new MatrixError('M_FORBIDDEN', 403, 'You are not in this room')
}

/** The same; or which servers can do it where this one cannot. */
export async function askRoom(
  c: AppContext,
  roomId: RoomId,
  action: 'join' | 'knock' | 'leave',
  content: JsonObject,
  time: EventTime = {},
): Promise<Exclude<MembershipAnswer, { needsMembership: unknown }>> {
  const { userId, shard, guest } = c.var.session
  const profile = action === 'leave' ? {} : await ownProfile(c.env, userId)
  const request = {
    action,
    sender: userId,
    target: userId,
    targetShard: shard,
    guest,
    content: { ...profile, ...content },
    ...time,
  }
  const answer = await writeToRoom(c.env, roomId, (room) => room.changeMembership(request))
  if (!('needsMembership' in answer)) return answer
  const memberOf = await hubStub(c.env, shard).membershipsIn(userId, answer.needsMembership)
  const decided = await writeToRoom(c.env, roomId, (room) => room.changeMembership({ ...request, memberOf }))
  if (!('needsMembership' in decided)) return decided
  throw new Error('the room asked for memberships twice')
}

/** What the user's member events say about them. */
export async function ownProfile(env: Env, userId: UserId): Promise<JsonObject> {
  const members = await findLocalMembers(env, [userId])
  return members.get(userId)?.profile ?? {}
}

/** Invites a user of whatever server. As `invitees` and `inviteRemoteUser`, and M_FORBIDDEN. */
export async function inviteUser(env: Env, invite: UserInvite): Promise<EventId> {
  const { roomId, ...change } = invite
  if (!isLocal(env, change.target)) return await inviteRemoteUser(env, invite)
  const [invitee] = await invitees(env, [change.target], change.sender)
  return await changeInRoom(env, roomId, {
    ...change,
    action: 'invite',
    content: { ...invitee?.profile, ...change.content },
    targetShard: invitee?.shard,
  })
}

/** Something done to another user: kicking, banning and what ends them. M_FORBIDDEN. */
export async function changeOthersMembership(
  c: AppContext,
  roomId: RoomId,
  action: Exclude<MembershipAction, 'join' | 'knock' | 'leave' | 'invite' | 'exchange'>,
  target: UserId,
  content: JsonObject,
  time: EventTime = {},
): Promise<EventId> {
  const { userId: sender } = c.var.session
  const targetShard = await shardOfTarget(c.env, target)
  return await changeInRoom(c.env, roomId, { action, sender, target, content, targetShard, ...time })
}

async function shardOfTarget(env: Env, target: UserId): Promise<number | undefined> {
  if (!isLocal(env, target)) return undefined
  // With a single shard there is nothing to look up.
  return config(env).hubShards === 1 ? 0 : await shardOf(env, target)
}

interface Change extends EventTime {
  readonly action: MembershipAction
  readonly sender: UserId
  readonly target: UserId
  readonly content: JsonObject
  readonly targetShard: number | undefined
}

async function changeInRoom(env: Env, roomId: RoomId, { targetShard, ...request }: Change): Promise<EventId> {
  const asked = { ...request, ...(targetShard === undefined ? {} : { targetShard }) }
  const answer = await writeToRoom(env, roomId, (room) => room.changeMembership(asked))
  if ('eventId' in answer) return answer.eventId
  throw new MatrixError('M_FORBIDDEN', 403, 'The room asks for memberships of others')
}
