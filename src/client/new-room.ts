// Making a room: its id, its alias, its first events. Used for new rooms and for those that replace others.
// Specification: client-server API, "Creation"; appendices and room version 12, "Room IDs".

import { randomBytes } from 'node:crypto'
import { config } from '../config.ts'
import { type Env, roomStub, serverKeysStub } from '../env.ts'
import type { RoomAlias, RoomId, UserId } from '../matrix/event.ts'
import { eventIdOf, roomIdOfCreateEvent } from '../matrix/event-hash.ts'
import type { InviteDetails } from '../identity/store-invite.ts'
import { parseRoomId } from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { RoomVersionRules } from '../matrix/room-version.ts'
import type { CreateRoomRequest } from '../room/create-room.ts'
import { MatrixError } from '../errors.ts'
import { deleteAlias, insertAlias } from '../storage/aliases.ts'
import { inviteRemoteUser } from './invite-remote-user.ts'
import { inviteAddress, type ThirdParty } from './third-party-invite.ts'
import { findLocalMembers, type LocalMember } from '../storage/local-members.ts'

type Chosen =
  | 'preset'
  | 'powerLevelContentOverride'
  | 'initialState'
  | 'name'
  | 'topic'
  | 'isDirect'
  | 'published'

export interface NewRoom extends Pick<CreateRoomRequest, Chosen> {
  readonly rules: RoomVersionRules
  readonly creator: UserId
  /** The content of the create event, but for what the server says itself. */
  readonly creationContent: JsonObject
  readonly invite: readonly LocalMember[]
  /** Users of other servers, who are invited once the room is there. */
  readonly remoteInvites: readonly UserId[]
  /** Those who are invited by an address that nobody is known to own. */
  readonly thirdParties?: readonly ThirdParty[]
  readonly alias?: RoomAlias
}

/**
 * Makes a room. Answers its id. M_ROOM_IN_USE (400) when the alias is taken, and what the room itself refuses; and what
 * `inviteRemoteUser` and `inviteAddress` throw: then the room is there, with everybody in it who could be invited.
 */
export async function makeRoom(env: Env, room: NewRoom): Promise<RoomId> {
  const { alias, creator } = room
  const request = await createRequest(env, room)
  const { roomId } = request
  if (alias !== undefined && !(await insertAlias(env, { alias, roomId, creator }))) {
    throw new MatrixError('M_ROOM_IN_USE', 400, `Room alias ${alias} already exists`)
  }
  let details: InviteDetails
  try {
    details = await roomStub(env, roomId).createRoom(request)
  } catch (error) {
    if (alias !== undefined) await deleteAlias(env, alias, roomId)
    throw error
  }
  await inviteAll(env, room, roomId, details)
  return roomId
}

/** Invites whoever can be told only of a room that is there, each whatever comes of the others. Throws what the first one did. */
async function inviteAll(env: Env, room: NewRoom, roomId: RoomId, details: InviteDetails): Promise<void> {
  const { creator: sender, remoteInvites, thirdParties = [] } = room
  const content: JsonObject = room.isDirect ? { is_direct: true } : {}
  const results = await Promise.allSettled([
    ...remoteInvites.map((target) => inviteRemoteUser(env, { roomId, sender, target, content })),
    ...thirdParties.map((party) => inviteAddress(env, { roomId, sender, details, content }, party)),
  ])
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}

async function createRequest(env: Env, room: NewRoom): Promise<CreateRoomRequest> {
  const { rules, creationContent: _, thirdParties = [], invite, creator, ...chosen } = room
  const members = await findLocalMembers(env, [creator])
  const self = members.get(creator)
  const localUsers = self ? [self, ...invite] : invite
  return {
    ...chosen,
    ...(await identity(env, rules, creator, createContent(room))),
    roomVersion: rules.id,
    creator,
    creatorProfile: self?.profile ?? {},
    invite: invite.map(({ userId, profile }) => ({ userId, profile })),
    invitesAddresses: thirdParties.length > 0,
    localUsers: localUsers.map(({ userId, shard }) => ({ userId, shard })),
  }
}

function createContent({ rules, creator, creationContent }: NewRoom): JsonObject {
  const { creator: _, ...content } = creationContent
  // Since v11 the sender is the creator.
  return { ...content, ...(rules.creatorIsSender ? {} : { creator }), room_version: rules.id }
}

async function identity(
  env: Env,
  rules: RoomVersionRules,
  creator: UserId,
  content: JsonObject,
): Promise<Pick<CreateRoomRequest, 'roomId' | 'create'>> {
  if (!rules.roomIdIsCreateHash) return { roomId: newRoomId(env), create: { content } }
  const signed = await serverKeysStub(env).signCreate({ creator, content, roomVersion: rules.id })
  // Written by our own object.
  const pdu = JSON.parse(signed) as JsonObject
  return { roomId: roomIdOfCreateEvent(eventIdOf(pdu, rules)), create: { pdu } }
}

function newRoomId(env: Env): RoomId {
  // 18 characters that need no escaping in a path.
  const random = randomBytes(14).toString('base64url').slice(0, 18)
  const roomId = parseRoomId(`!${random}:${config(env).serverName}`)
  if (roomId === undefined) throw new Error('the server name is too long for room ids')
  return roomId
}
