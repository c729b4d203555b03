// The invites that waited for an address, now that a user of this server owns it: made here where this server is in the room, and
// otherwise asked of the server whose user invited the address. Server-server API, "Third-party invites".

import { writeToRoom } from './write-to-room.ts'
import { existingMembers, refuseBlocked } from '../client/invitees.ts'
import type { Env } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import { requireValidKey } from '../identity/key-validity.ts'
import { errorMessage, log } from '../log.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { parseRoomId, parseUserId, serverNameOf } from '../matrix/identifiers.ts'
import { type JsonObject, stringProperty } from '../matrix/json.ts'
import { config } from '../config.ts'
import type { LocalMember } from '../storage/local-members.ts'
import { federationRequest } from './client/request.ts'
import { refusal } from './remote-join/servers.ts'

/** An invite as an identity server hands it on. Only the shapes of its fields are checked. */
export interface BoundInvite {
  readonly mxid: string
  readonly room_id: string
  readonly sender: string
  readonly signed: {
    readonly mxid: string
    readonly token: string
    readonly signatures: Readonly<Record<string, Readonly<Record<string, string>>>>
  }
}

/** An invite of a third party, and what proves that a user is the one. */
export interface ProvenInvite {
  readonly roomId: RoomId
  readonly sender: UserId
  readonly signed: JsonObject
}

const atOnce = 4
const timeoutMs = 20_000

/**
 * Has a user invited. Invites that are refused are logged and left at that. M_INVALID_PARAM for those that make no sense, M_NOT_FOUND
 * as `existingMembers`. 502 where another server could not be asked: then the identity server may try again.
 */
export async function acceptBoundInvites(
  env: Env,
  userId: UserId,
  invites: readonly BoundInvite[],
): Promise<void> {
  const checkedInvites = unlike(invites.map((invite) => checkedInvite(userId, invite)))
  const [member] = await existingMembers(env, [userId])
  if (!member) return
  const queue = [...checkedInvites]
  const failures: MatrixError[] = []
  const worker = async (): Promise<void> => {
    for (let invite = queue.shift(); invite; invite = queue.shift()) {
      const failure = await accept(env, member, invite)
      if (failure) failures.push(failure)
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, queue.length) }, worker))
  const passing = failures.find(({ status }) => status >= 500)
  if (passing) throw passing
}

function checkedInvite(userId: UserId, { mxid, room_id, sender, signed }: BoundInvite): ProvenInvite {
  const roomId = parseRoomId(room_id)
  const inviter = parseUserId(sender)
  if (roomId === undefined) throw invalid('room_id is not a room id')
  if (inviter === undefined) throw invalid('sender is not a user id')
  if (mxid !== userId || signed.mxid !== userId) throw invalid('it is of another user')
  if (!Object.values(signed.signatures).some((ofServer) => Object.keys(ofServer).length > 0)) {
    throw invalid('it is not signed')
  }
  // With whatever else it says: all of it is signed.
  return { roomId, sender: inviter, signed: { ...signed } }
}

function unlike(invites: readonly ProvenInvite[]): ProvenInvite[] {
  const key = ({ roomId, signed }: ProvenInvite) => `${roomId} ${stringProperty(signed, 'token')}`
  return [...new Map(invites.map((invite) => [key(invite), invite])).values()]
}

/**
 * Has a user invited who says that an invite is theirs. M_FORBIDDEN where the proof does not hold, its key has been revoked, or the
 * invite was used before; M_NOT_FOUND, 502 and 504 where the server that could tell does not know the room or does not answer.
 */
export async function claimInvite(env: Env, userId: UserId, invite: ProvenInvite): Promise<void> {
  const [member] = await existingMembers(env, [userId])
  if (member) await exchange(env, member, invite)
}

/** What went wrong, if anything did. */
async function accept(env: Env, member: LocalMember, invite: ProvenInvite): Promise<MatrixError | undefined> {
  try {
    await refuseBlocked(env, member, invite.sender)
    await exchange(env, member, invite)
    return undefined
  } catch (error) {
    const { userId } = member
    const { roomId } = invite
    log({ event: 'third_party_invite_failed', room_id: roomId, user_id: userId, error: errorMessage(error) })
    return isMatrixError(error) ? error : new MatrixError('M_UNKNOWN', 500, 'Internal server error')
  }
}

async function exchange(env: Env, member: LocalMember, invite: ProvenInvite): Promise<void> {
  await requireValidKey(env, invite.roomId, member.userId, invite.signed)
  if (!(await inviteHere(env, member, invite))) await askInviter(env, member.userId, invite)
}

/** False where this server is not in the room. */
async function inviteHere(
  env: Env,
  { userId, shard, profile }: LocalMember,
  { roomId, sender, signed }: ProvenInvite,
): Promise<boolean> {
  const exchange = {
    action: 'exchange',
    sender,
    target: userId,
    targetShard: shard,
    content: { ...profile, third_party_invite: { signed } },
  } as const
  const answer = await writeToRoom(env, roomId, (room) => room.changeMembership(exchange))
  return 'eventId' in answer
}

async function askInviter(env: Env, userId: UserId, { roomId, sender, signed }: ProvenInvite): Promise<void> {
  const destination = serverNameOf(sender)
  if (destination === config(env).serverName) {
    throw new MatrixError('M_NOT_FOUND', 404, 'This server is not in that room')
  }
  const answer = await federationRequest(env, {
    destination,
    method: 'PUT',
    path: `/_matrix/federation/v1/exchange_third_party_invite/${encodeURIComponent(roomId)}`,
    content: {
      type: 'm.room.member',
      room_id: roomId,
      sender,
      state_key: userId,
      // Which name the address had is for the room to say.
      content: { membership: 'invite', third_party_invite: { display_name: userId, signed } },
    },
    timeoutMs,
  })
  if (answer.status !== 200) throw refusal(destination, answer)
}

function invalid(reason: string): MatrixError {
  return new MatrixError('M_INVALID_PARAM', 400, `Invalid invite: ${reason}`)
}
