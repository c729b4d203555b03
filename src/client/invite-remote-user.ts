// Inviting users of other servers: the room makes the invite, their server signs it, and the room takes it in.
// Specification: server-server API, "Inviting to a room".

import { writeToRoom } from '../federation/write-to-room.ts'
import type { Env } from '../env.ts'
import { firstVersionRequest } from '../federation/client/first-version.ts'
import { federationFetch, federationRequest } from '../federation/client/request.ts'
import { withSignaturesOf } from '../federation/remote-join/own-member.ts'
import { isUnknownEndpoint, refusal } from '../federation/remote-join/servers.ts'
import { keysOfSignatures } from '../federation/server/membership-handshake.ts'
import type { EventId, RoomId, ServerName, UserId } from '../matrix/event.ts'
import { serverNameOf } from '../matrix/identifiers.ts'
import { type JsonObject, objectProperty, property } from '../matrix/json.ts'
import { roomVersion } from '../matrix/room-version.ts'
import type { BuiltInvite } from '../room/invite-elsewhere.ts'

/** Somebody's invite of a user, here of another server. */
export interface UserInvite {
  readonly roomId: RoomId
  readonly sender: UserId
  readonly target: UserId
  /** The content besides `membership`. */
  readonly content: JsonObject
  /** Milliseconds; now where absent. */
  readonly origin_server_ts?: number
}

const timeoutMs = 30_000

type NewInvite = Extract<BuiltInvite, { eventId: EventId }>

/**
 * Invites a user of another server. M_FORBIDDEN, M_INVITE_BLOCKED and M_INCOMPATIBLE_ROOM_VERSION of the room or of their
 * server, M_NOT_FOUND where their server does not know them, 502 and 504 where it cannot be asked.
 */
export async function inviteRemoteUser(env: Env, { roomId, ...invite }: UserInvite): Promise<EventId> {
  // Written by our own object.
  const built = JSON.parse(await writeToRoom(env, roomId, (room) => room.buildInvite(invite))) as BuiltInvite
  if ('present' in built) return built.present
  const server = serverNameOf(invite.target)
  const signed = await askForSignature(env, server, roomId, built)
  const keys = await keysOfSignatures(env, signed, [server])
  return await writeToRoom(env, roomId, (room) => room.acceptInvite(signed, keys))
}

/** The invite with the signature of the other server. */
async function askForSignature(
  env: Env,
  server: ServerName,
  roomId: RoomId,
  invite: NewInvite,
): Promise<JsonObject> {
  const rules = roomVersion(invite.version)
  if (!rules) throw new Error('the room has a version that does not exist')
  const { event, version, state } = invite
  const call = (endpoint: string, content: JsonObject) => ({
    destination: server,
    method: 'PUT' as const,
    path: `/_matrix/federation/${endpoint}/${encodeURIComponent(roomId)}/${encodeURIComponent(invite.eventId)}`,
    content,
    timeoutMs,
  })
  const second = await federationRequest(
    env,
    call('v2/invite', { room_version: version, event, invite_room_state: state }),
  )
  // Servers of old know the first version alone, in which only the first room versions can be told of.
  const isOld = rules.eventId === 'field' && (second.status === 400 || isUnknownEndpoint(second))
  const unsigned = { ...objectProperty(event, 'unsigned'), invite_room_state: state }
  const answer = isOld
    ? await firstVersionRequest(
        (first) => federationFetch(env, first),
        call('v1/invite', { ...event, unsigned }),
      )
    : second
  if (answer.status !== 200) throw refusal(server, answer)
  return withSignaturesOf(server, server, { ...invite, pdu: event, rules }, property(answer.body, 'event'))
}
