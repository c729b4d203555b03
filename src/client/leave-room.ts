// Leaving a room, rejecting an invite to one, taking a knock back. Where this server is not in the room, another one is asked
// to say so to the others; our user is out of it in any case.
// Specification: client-server API, "Leaving rooms"; server-server API, "Leaving Rooms (Rejecting Invites)".

import { writeToRoom } from '../federation/write-to-room.ts'
import { randomBytes } from 'node:crypto'
import { config } from '../config.ts'
import { type Env, hubStub } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import { makeMember, sendLeave } from '../federation/remote-join/handshake.ts'
import { candidates, firstOf } from '../federation/remote-join/servers.ts'
import type { Standing } from '../hub/members.ts'
import { log } from '../log.ts'
import type { EventId, RoomId, UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import { handshakeDeps } from './handshake-deps.ts'
import { inviterOf, sendersIn } from './remote-standing.ts'

export interface LeavingUser {
  readonly userId: UserId
  readonly shard: number
}

// The client waits.
const mostServers = 3

/** Makes a user leave, who may have left before. M_FORBIDDEN for one who was never there. */
export async function leaveRoom(
  env: Env,
  user: LeavingUser,
  roomId: RoomId,
  content: JsonObject,
): Promise<void> {
  const { userId, shard } = user
  const left = await leaveHere(env, userId, roomId, content)
  if (left === true) return
  const hub = hubStub(env, shard)
  const standing = await hub.standingIn(userId, roomId)
  // Those who have left are where they want to be.
  if (standing?.membership === 'leave' && left === 'elsewhere') return
  if (!standing || (standing.membership !== 'invite' && standing.membership !== 'knock')) {
    throw left === 'elsewhere' ? new MatrixError('M_FORBIDDEN', 403, 'You are not in this room') : left
  }
  const told = left === 'elsewhere' ? await leaveThere(env, user, roomId, content, standing) : undefined
  const eventId = told ?? madeUpId()
  await hub.applyRemoteMembership({ roomId, userId, membership: 'leave', eventId })
}

/** True if done, `elsewhere` if this server is not in the room, or why the room refuses it. */
async function leaveHere(
  env: Env,
  userId: UserId,
  roomId: RoomId,
  content: JsonObject,
): Promise<true | 'elsewhere' | MatrixError> {
  try {
    const request = { action: 'leave', sender: userId, target: userId, content } as const
    const answer = await writeToRoom(env, roomId, (room) => room.changeMembership(request))
    return 'through' in answer ? 'elsewhere' : true
  } catch (error) {
    // The Hub may know of an invite that the room never took.
    if (isMatrixError(error) && error.errcode === 'M_FORBIDDEN') return error
    throw error
  }
}

/** The leave as another server took it, undefined if none did. */
async function leaveThere(
  env: Env,
  { userId }: LeavingUser,
  roomId: RoomId,
  content: JsonObject,
  standing: Standing,
): Promise<EventId | undefined> {
  const inviter = inviterOf(standing, userId)
  const known = [...(inviter === undefined ? [] : [inviter]), ...sendersIn(standing)].map(serverNameOf)
  const servers = candidates(config(env).serverName, roomId, known).slice(0, mostServers)
  const deps = await handshakeDeps(env)
  try {
    return await firstOf(servers, async (server) => {
      const leave = await makeMember(deps, server, { roomId, userId, membership: 'leave', content })
      await sendLeave(deps, server, roomId, leave)
      return leave.eventId
    })
  } catch (error) {
    if (!isMatrixError(error)) throw error
    log({ event: 'leave_not_told', room_id: roomId, error: error.message })
    return undefined
  }
}

// Nobody but the Hub sees it, which tells one change from another by it.
function madeUpId(): EventId {
  return `$${randomBytes(24).toString('base64url')}` as EventId
}
