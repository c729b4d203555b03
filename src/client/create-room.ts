// Specification: client-server API, "Creation" (POST /createRoom).

import * as v from 'valibot'
import { refuseForeignAlias } from '../appservice/namespaces.ts'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { refuseSuspended, requireSession } from '../http/session.ts'
import type { RoomAlias, UserId } from '../matrix/event.ts'
import { parseRoomAlias, parseUserId } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, property } from '../matrix/json.ts'
import { roomVersion, type RoomVersionRules } from '../matrix/room-version.ts'
import { limitIdentityRequests } from './identity-requests.ts'
import { invitees } from './invitees.ts'
import { makeRoom, type NewRoom } from './new-room.ts'
import { checkedUserId, isLocal } from './path-params.ts'
import { checkAliasLocalpart } from './room-aliases.ts'
import { findParties, type FoundParties, thirdParty } from './third-party-invite.ts'

const anyObject = v.custom<JsonObject>(isJsonObject, 'not an object')
const body = v.looseObject({
  visibility: v.optional(v.picklist(['public', 'private']), 'private'),
  room_alias_name: v.optional(v.string()),
  name: v.optional(v.string()),
  topic: v.optional(v.string()),
  invite: v.optional(v.array(v.string()), []),
  // Each may get mail, and costs up to three requests.
  invite_3pid: v.optional(v.pipe(v.array(anyObject), v.maxLength(10)), []),
  room_version: v.optional(v.string()),
  creation_content: v.optional(anyObject, {}),
  initial_state: v.optional(
    v.array(v.object({ type: v.string(), state_key: v.optional(v.string(), ''), content: anyObject })),
    [],
  ),
  preset: v.optional(v.picklist(['private_chat', 'trusted_private_chat', 'public_chat'])),
  is_direct: v.optional(v.boolean(), false),
  power_level_content_override: v.optional(anyObject, {}),
})
type Body = v.InferOutput<typeof body>

/** POST /createRoom. */
export function createRoomRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom
  app.post('/_matrix/client/v3/createRoom', requireSession(), async (c) => {
    refuseSuspended(c.var.session)
    await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
    const room = await newRoom(c, await jsonBody(c, body))
    return c.json({ room_id: await makeRoom(c.env, room) })
  })
}

async function newRoom(c: AppContext, request: Body): Promise<NewRoom> {
  const { userId: creator } = c.var.session
  const rules = rulesOf(c.env, request.room_version)
  const alias = aliasOf(c.env, request.room_alias_name)
  if (alias !== undefined) refuseForeignAlias(c.env, alias, c.var.session.appservice)
  const named = request.invite.map((userId) => checkedUserId('invite', userId))
  const parties = await thirdParties(c, request.invite_3pid)
  const invited = [...new Set([...named, ...parties.users])]
  // Without a preset, the visibility decides.
  const preset = request.preset ?? (request.visibility === 'public' ? 'public_chat' : 'private_chat')
  const trusted = preset === 'trusted_private_chat' ? invited : []
  return {
    rules,
    creator,
    creationContent: creationContent(request.creation_content, rules, creator, trusted),
    preset,
    powerLevelContentOverride: request.power_level_content_override,
    initialState: request.initial_state,
    invite: await invitees(
      c.env,
      invited.filter((userId) => isLocal(c.env, userId)),
      creator,
    ),
    remoteInvites: invited.filter((userId) => !isLocal(c.env, userId)),
    thirdParties: parties.unknown,
    isDirect: request.is_direct,
    published: request.visibility === 'public',
    ...(alias === undefined ? {} : { alias }),
    ...(request.name === undefined ? {} : { name: request.name }),
    ...(request.topic === undefined ? {} : { topic: request.topic }),
  }
}

async function thirdParties(c: AppContext, invites: readonly JsonObject[]): Promise<FoundParties> {
  if (invites.length === 0) return { users: [], unknown: [] }
  const parties = invites.map(thirdParty)
  await limitIdentityRequests(c)
  return await findParties(c.env, parties)
}

/** The rules of a requested room version, or of the server's default. M_UNSUPPORTED_ROOM_VERSION (400). */
export function rulesOf(env: Env, requested: string | undefined): RoomVersionRules {
  const version = requested ?? config(env).defaultRoomVersion
  const rules = roomVersion(version)
  if (!rules) {
    throw new MatrixError('M_UNSUPPORTED_ROOM_VERSION', 400, `The room version '${version}' is not supported`)
  }
  return rules
}

function aliasOf(env: Env, localpart: string | undefined): RoomAlias | undefined {
  if (localpart === undefined) return undefined
  checkAliasLocalpart('room_alias_name', localpart)
  const alias = parseRoomAlias(`#${localpart}:${config(env).serverName}`)
  if (alias === undefined) {
    throw new MatrixError(
      'M_INVALID_PARAM',
      400,
      'Invalid parameter room_alias_name: not part of a room alias',
    )
  }
  return alias
}

function creationContent(
  content: JsonObject,
  rules: RoomVersionRules,
  creator: UserId,
  trusted: readonly UserId[],
): JsonObject {
  if (!rules.privilegedCreators) return content
  const named = additionalCreators(property(content, 'additional_creators'))
  // Since v1.16: invitees of a trusted private chat are creators as well.
  const all = withoutDuplicates([...named, ...trusted], creator)
  const { additional_creators: _, ...others } = content
  return all.length === 0 ? others : { ...others, additional_creators: all }
}

/** A list of user ids as a request has it. M_INVALID_PARAM (400) for anything else. */
export function additionalCreators(value: unknown): UserId[] {
  if (value === undefined) return []
  const userIds = Array.isArray(value)
    ? value.map((id) => (typeof id === 'string' ? parseUserId(id) : undefined))
    : [undefined]
  return userIds.map((userId) => {
    if (userId === undefined) {
      throw new MatrixError(
        'M_INVALID_PARAM',
        400,
        'Invalid field additional_creators: not a list of user ids',
      )
    }
    return userId
  })
}

/** Each of some creators once, without the one who makes the room. */
export function withoutDuplicates(userIds: readonly UserId[], creator: UserId): UserId[] {
  return [...new Set(userIds)].filter((userId) => userId !== creator)
}
