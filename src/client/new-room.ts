// Making a room: its id, its alias, its first events. Used for new rooms and for those that replace others.
// Specification: client-server API, "Creation"; appendices and room version 12, "Room IDs".

import { randomBytes } from 'node:crypto'
import { config } from '../config.ts'
import { type Env, roomStub, serverKeysStub } from '../env.ts'
import type { RoomAlias, RoomId, UserId } from '../matrix/event.ts'
import { eventIdOf, roomIdOfCreateEvent } from '../matrix/event-hash.ts'
import { parseRoomId } from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import type { RoomVersionRules } from '../matrix/room-version.ts'
import type { CreateRoomRequest } from '../room/create-room.ts'
import { MatrixError } from '../errors.ts'
import { deleteAlias, insertAlias } from '../storage/aliases.ts'
import { inviteRemoteUser } from './invite-remote-user.ts'
import { invitees } from './invitees.ts'
import { isLocal } from './path-params.ts'
import { storeParties, type ThirdParty } from './third-party-invite.ts'
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
 * Makes a room. Answers its id. M_ROOM_IN_USE (400) when the alias is taken, what the room itself refuses, and what identity servers
 * do; and what `inviteRemoteUser` throws: then the room is there, with everybody in it who could be invited.
 */
export async function makeRoom(env: Env, room: NewRoom): Promise<RoomId> {
  const { alias, creator } = room
  const request = await createRequest(env, room)
  const { roomId } = request
  if (alias !== undefined && !(await insertAlias(env, { alias, roomId, creator }))) {
    throw new MatrixError('M_ROOM_IN_USE', 400, `Room alias ${alias} already exists`)
  }
  let complete: CreateRoomRequest
  try {
    complete = await withThirdParties(env, request, room.thirdParties ?? [])
    await roomStub(env, roomId).createRoom(complete)
  } catch (error) {
    if (alias !== undefined) await deleteAlias(env, alias, roomId)
    throw error
  }
  await inviteAll(env, complete)
  return roomId
}

/** The request with the invites that identity servers keep: they must have them before the room does. */
async function withThirdParties(
  env: Env,
  request: CreateRoomRequest,
  parties: readonly ThirdParty[],
): Promise<CreateRoomRequest> {
  if (parties.length === 0) return request
  const { roomId, creator, remoteInvites = [] } = request
  // Nobody gets mail of a room that cannot be made.
  const details = await roomStub(env, roomId).rehearseRoom(request)
  const { invites, users } = await storeParties(env, parties, { roomId, sender: creator, details })
  const known = new Set([...request.invite.map(({ userId }) => userId), ...remoteInvites])
  const others = [...new Set(users)].filter((userId) => !known.has(userId))
  const local = await invitees(
    env,
    others.filter((userId) => isLocal(env, userId)),
    creator,
  )
  return {
    ...request,
    thirdPartyInvites: invites,
    invite: [...request.invite, ...local.map(({ userId, profile }) => ({ userId, profile }))],
    localUsers: [...request.localUsers, ...local.map(({ userId, shard }) => ({ userId, shard }))],
    remoteInvites: [...remoteInvites, ...others.filter((userId) => !isLocal(env, userId))],
  }
}

async function inviteAll(
  env: Env,
  { roomId, creator, isDirect, remoteInvites = [] }: CreateRoomRequest,
): Promise<void> {
  const content: JsonObject = isDirect ? { is_direct: true } : {}
  const results = await Promise.allSettled(
    remoteInvites.map((target) => inviteRemoteUser(env, { roomId, sender: creator, target, content })),
  )
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}

async function createRequest(env: Env, room: NewRoom): Promise<CreateRoomRequest> {
  const { rules, creationContent: _, thirdParties: _parties, invite, creator, ...chosen } = room
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
