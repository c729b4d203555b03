// Joining a room, whoever it lives with: our own copy of it where this server is in the room, other servers where it is not,
// or where nobody here may let the user in. Specification: client-server API, "Joining rooms", "Restricted rooms".

import { config } from '../config.ts'
import { hubStub, remoteJoinStub } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import { candidates } from '../federation/remote-join/servers.ts'
import type { AppContext } from '../http/app-type.ts'
import type { RoomId, ServerName } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { MembershipAnswer } from '../room/membership.ts'
import { askRoom, ownProfile } from './change-membership.ts'
import { inviterOf } from './remote-standing.ts'

/**
 * Joins the user. `servers` may be able to help. M_FORBIDDEN, M_GUEST_ACCESS_FORBIDDEN, M_NOT_FOUND for a room that nobody is
 * known to be in, M_RESOURCE_LIMIT_EXCEEDED for one that is too large, 502 and 504 where no server could help.
 */
export async function joinRoom(
  c: AppContext,
  roomId: RoomId,
  content: JsonObject,
  servers: readonly string[],
): Promise<void> {
  for (const wait of [...waitsMs, undefined]) {
    const answer = await askRoom(c, roomId, 'join', content)
    if ('eventId' in answer) return
    try {
      if (await joinThroughOthers(c, roomId, content, servers, answer)) return
      // Somebody else of this server was on the way in, and is there now: this user joins like any other.
    } catch (error) {
      const mayPass = answer.resident && isMatrixError(error) && error.errcode === 'M_FORBIDDEN'
      if (!mayPass || wait === undefined) throw error
      await sleep(wait)
    }
  }
  throw new MatrixError('M_UNKNOWN', 502, 'This server comes into the room and leaves it all the time')
}

// Others are asked about a restricted room that is here after the user was found to meet a condition, so that the one who refuses
// may only not have heard yet of what lets the user in. Or this server is about to hear of somebody here who may.
const waitsMs = [300, 1000]

async function sleep(ms: number): Promise<void> {
  await new Promise((passed) => setTimeout(passed, ms))
}

/** Whether the user has joined; if not, this server is in the room now. */
async function joinThroughOthers(
  c: AppContext,
  roomId: RoomId,
  content: JsonObject,
  servers: readonly string[],
  { through, resident }: Extract<MembershipAnswer, { through: unknown }>,
): Promise<boolean> {
  const { userId, shard, guest } = c.var.session
  // Whether a room takes guests is seen only from within.
  if (guest)
    throw new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 403, 'Guests may not join rooms of other servers')
  // What is known from an earlier stay may be out of date: it serves only those who name nobody themselves.
  const named = resident ? [] : [...servers, ...(await hints(c, roomId))]
  const given = named.length > 0 ? named : through
  const { serverName } = config(c.env)
  const helpers: ServerName[] = candidates(serverName, roomId, given)
  if (resident && through.length === 0) {
    throw new MatrixError('M_UNABLE_TO_GRANT_JOIN', 400, 'No user of this server can let you in')
  }
  const request = {
    roomId,
    userId,
    shard,
    content: { ...(await ownProfile(c.env, userId)), ...content },
    servers: helpers,
  }
  const answer = await remoteJoinStub(c.env, roomId).join(request, resident)
  return 'eventId' in answer
}

/** The server of whoever has invited the user. */
async function hints(c: AppContext, roomId: RoomId): Promise<string[]> {
  const { userId, shard } = c.var.session
  const inviter = inviterOf(await hubStub(c.env, shard).standingIn(userId, roomId), userId)
  return inviter === undefined ? [] : [serverNameOf(inviter)]
}
