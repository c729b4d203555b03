// A join of a room that lives on other servers, from asking one of them to being in the room.
// 1. make_join: the template. 2. Our join, signed. 3. send_join: the join with all signatures, and the room's state.
// 4. The state, checked and staged into the room. 5. The join on top of it: from here on the room is here.
// Specification: server-server API, "Joining Rooms", "Restricted rooms".

import { isMatrixError, MatrixError } from '../../errors.ts'
import { eventIdOf } from '../../matrix/event-hash.ts'
import type { EventId, RoomId, ServerName, UserId } from '../../matrix/event.ts'
import { checkEventFormat } from '../../matrix/event-format.ts'
import type { JsonObject } from '../../matrix/json.ts'
import type { RoomVersionId, RoomVersionRules } from '../../matrix/room-version.ts'
import type { CompleteJoin } from '../../room/join-staging.ts'
import type { Receipt, ServerKeySet } from '../../room/receive-pdu.ts'
import { type HandshakeDeps, makeMember, sendLeave } from './handshake.ts'
import type { SignedMember } from './own-member.ts'
import { type SendJoinDeps, sendJoin } from './send-join.ts'
import { firstOf } from './servers.ts'
import type { Spool } from './spool.ts'
import { stageState } from './stage-state.ts'

export interface JoinRequest {
  readonly roomId: RoomId
  readonly userId: UserId
  /** The Hub shard of the user. */
  readonly shard: number
  /** The content besides `membership`: profile, reason. */
  readonly content: JsonObject
  /** To be tried in this order. */
  readonly servers: readonly ServerName[]
}

/** What a join needs of our room. */
export interface JoiningRoom {
  readonly beginJoin: (roomId: RoomId, version: RoomVersionId) => Promise<void>
  readonly receiveOutliers: (pdus: readonly JsonObject[], keys: ServerKeySet) => Promise<Receipt[]>
  readonly completeJoin: (request: CompleteJoin) => Promise<EventId>
}

export interface JoinDeps extends HandshakeDeps, Pick<SendJoinDeps, 'limits'> {
  readonly room: JoiningRoom
  readonly keysOf: (pdus: readonly JsonObject[]) => Promise<ServerKeySet>
  readonly openSpool: () => Spool
  /** Told of what a server gave that did not hold. */
  readonly onRefused: (server: ServerName, refused: number, reason: string) => void
}

/**
 * Joins a room through the first server that helps. 404 M_NOT_FOUND where none is known to be in it, 403 M_FORBIDDEN where the
 * user may not join, 400 M_RESOURCE_LIMIT_EXCEEDED for a room that is too large, 502 and 504 where no server could help.
 */
export async function joinRoom(deps: JoinDeps, request: JoinRequest): Promise<EventId> {
  // Where a server took our join in, the user is in the room for all others, whatever became of it here.
  const joined: { server: ServerName; join: SignedMember }[] = []
  try {
    return await firstOf(request.servers, async (server) => {
      const join = await makeMember(deps, server, { ...request, membership: 'join' })
      return await joinThrough(deps, request, server, join, () => joined.push({ server, join }))
    })
  } catch (error) {
    const [first] = joined
    // Whatever else went wrong may go right the next time, for which the user must still be let in.
    const isHopeless = isMatrixError(error) && error.errcode === 'M_RESOURCE_LIMIT_EXCEEDED'
    if (first && isHopeless) await leaveAgain(deps, request, first.server)
    throw error
  }
}

async function joinThrough(
  deps: JoinDeps,
  request: JoinRequest,
  server: ServerName,
  join: SignedMember,
  onJoined: () => void,
): Promise<EventId> {
  const { room } = deps
  const { roomId, userId, shard } = request
  await room.beginJoin(roomId, join.rules.id)
  const spool = deps.openSpool()
  try {
    const pdu = await sendJoin({ ...deps, spool, onAnswer: onJoined }, server, roomId, join)
    const staged = await stageState({ ...deps, ...room, idOf: idIn(join.rules) }, spool)
    if (staged.refused > 0) deps.onRefused(server, staged.refused, staged.reason ?? '')
    return await room.completeJoin({
      join: pdu,
      keys: await deps.keysOf([pdu]),
      state: staged.state,
      servers: [server, ...request.servers.filter((other) => other !== server)],
      localUser: { userId, shard },
    })
  } finally {
    spool.close()
  }
}

function idIn(rules: RoomVersionRules): (pdu: JsonObject) => EventId | undefined {
  return (pdu) => (checkEventFormat(pdu, rules).ok ? eventIdOf(pdu, rules) : undefined)
}

/**
 * Has another server let a user in whom no user of this one may invite, into a room that this server is in: the join with all
 * signatures, for the room to receive. Errors as for `joinRoom`.
 */
export async function joinWithHelp(
  deps: JoinDeps,
  request: JoinRequest,
): Promise<{ readonly server: ServerName; readonly join: JsonObject }> {
  return await firstOf(request.servers, async (server) => {
    const join = await makeMember(deps, server, { ...request, membership: 'join' })
    return { server, join: await sendJoin(deps, server, request.roomId, join) }
  })
}

// The best that can be done: a server that does not answer now goes on listing the user until they join and leave again.
async function leaveAgain(
  deps: JoinDeps,
  { roomId, userId }: JoinRequest,
  server: ServerName,
): Promise<void> {
  try {
    const leave = await makeMember(deps, server, { roomId, userId, membership: 'leave', content: {} })
    await sendLeave(deps, server, roomId, leave)
  } catch (error) {
    if (!isMatrixError(error)) throw error
    deps.onRefused(server, 1, `the join could not be taken back: ${error.message}`)
  }
}

/** M_FORBIDDEN for what a room did not take. */
export function requireTaken(receipt: Receipt | undefined): EventId {
  if (receipt?.outcome === 'accepted' || receipt?.outcome === 'known') return receipt.eventId
  const reason = receipt && 'reason' in receipt ? receipt.reason : 'what it builds upon is missing'
  throw new MatrixError('M_FORBIDDEN', 403, `The join was refused: ${reason}`)
}
