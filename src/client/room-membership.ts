// Specification: client-server API, "Room membership".

import * as v from 'valibot'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { checked, jsonBody, jsonObject } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { refuseSuspended, requireSession } from '../http/session.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { parseRoomAlias, parseRoomId } from '../matrix/identifiers.ts'
import type { JsonObject } from '../matrix/json.ts'
import { changeOthersMembership, inviteUser } from './change-membership.ts'
import { joinRoom } from './join-room.ts'
import { knockOnRoom } from './knock-room.ts'
import { refuseNoticeRejection, refuseSuspendedIn } from '../admin/server-notices.ts'
import { leaveRoom } from './leave-room.ts'
import { roomParam } from './own-user.ts'
import { checkedUserId, textParam } from './path-params.ts'
import { resolveAlias } from './resolve-alias.ts'
import { claimThirdPartyInvite, inviteThirdParty } from './third-party-invite.ts'

const reasonBody = v.looseObject({ reason: v.optional(v.string()) })
const targetBody = v.looseObject({ ...reasonBody.entries, user_id: v.string() })
const inviteBody = v.looseObject({ ...reasonBody.entries, user_id: v.optional(v.string()) })

/** Joining, knocking, inviting, leaving, forgetting, kicking and banning. */
export function roomMembershipRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3joinroomidoralias
  app.post('/_matrix/client/v3/join/:roomIdOrAlias', requireSession({ guests: true }), async (c) =>
    c.json({ room_id: await join(c, () => roomOrAlias(c)) }),
  )

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidjoin
  app.post('/_matrix/client/v3/rooms/:roomId/join', requireSession({ guests: true }), async (c) =>
    c.json({ room_id: await join(c, () => ({ roomId: roomParam(c), servers: [] })) }),
  )

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3knockroomidoralias
  app.post('/_matrix/client/v3/knock/:roomIdOrAlias', requireSession(), async (c) => {
    await limited(c)
    refuseSuspended(c.var.session)
    const content = reason(await jsonBody(c, reasonBody, { optional: true }))
    const { roomId, servers } = await roomOrAlias(c)
    await knockOnRoom(c, roomId, content, servers)
    return c.json({ room_id: roomId })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidinvite
  app.post('/_matrix/client/v3/rooms/:roomId/invite', requireSession(), async (c) => {
    await limited(c)
    refuseSuspended(c.var.session)
    const roomId = roomParam(c)
    const body = await jsonObject(c)
    const invite = checked(inviteBody, body, 'M_BAD_JSON')
    const content = reason(invite)
    const { userId: sender } = c.var.session
    if (isThirdPartyInvite(body)) await inviteThirdParty(c, roomId, body, content)
    else await inviteUser(c.env, { roomId, sender, target: target(invite.user_id), content })
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidleave
  app.post('/_matrix/client/v3/rooms/:roomId/leave', requireSession({ guests: true }), async (c) => {
    const roomId = roomParam(c)
    await refuseNoticeRejection(c.env, c.var.session, roomId)
    await leaveRoom(c.env, c.var.session, roomId, reason(await jsonBody(c, reasonBody, { optional: true })))
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidforget
  app.post('/_matrix/client/v3/rooms/:roomId/forget', requireSession(), async (c) => {
    const { userId, shard } = c.var.session
    await hubStub(c.env, shard).forgetRoom(userId, roomParam(c))
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidkick
  app.post('/_matrix/client/v3/rooms/:roomId/kick', requireSession(), (c) => changeOther(c, 'kick'))

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidban
  app.post('/_matrix/client/v3/rooms/:roomId/ban', requireSession(), (c) => changeOther(c, 'ban'))

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3roomsroomidunban
  app.post('/_matrix/client/v3/rooms/:roomId/unban', requireSession(), (c) => changeOther(c, 'unban'))
}

interface NamedRoom {
  readonly roomId: RoomId
  /** Servers that may be in it. */
  readonly servers: readonly string[]
}

async function join(c: AppContext, find: () => NamedRoom | Promise<NamedRoom>): Promise<RoomId> {
  await limited(c)
  const { roomId, servers } = await find()
  await refuseSuspendedIn(c.env, c.var.session, roomId)
  const body = await jsonObject(c, { optional: true })
  checked(reasonBody, body, 'M_BAD_JSON')
  const { third_party_signed: signed, ...content } = body
  // An invite to an address comes first: to join is to accept the one it becomes.
  if (signed !== undefined) await claimThirdPartyInvite(c, roomId, { third_party_signed: signed })
  // Whatever else a client says on joining becomes part of its member event.
  await joinRoom(c, roomId, content, servers)
  return roomId
}

async function changeOther(c: AppContext, action: 'kick' | 'ban' | 'unban'): Promise<Response> {
  await limited(c)
  refuseSuspended(c.var.session)
  const roomId = roomParam(c)
  const body = await jsonBody(c, targetBody)
  await changeOthersMembership(c, roomId, action, target(body.user_id), reason(body))
  return c.json({})
}

async function limited(c: AppContext): Promise<void> {
  await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
}

/** The room a path names by its id or an alias, with the servers that the client names. Since v1.12 these are `via`. */
async function roomOrAlias(c: AppContext): Promise<NamedRoom> {
  const text = textParam(c, 'roomIdOrAlias')
  // Where there is any of them, the former `server_name` does not count.
  const via = [...(c.req.queries('via') ?? []), ...(c.req.queries('org.matrix.msc4156.via') ?? [])]
  const named = via.length > 0 ? via : (c.req.queries('server_name') ?? [])
  const alias = parseRoomAlias(text)
  if (alias !== undefined) {
    const { roomId, servers } = await resolveAlias(c.env, alias, async () => c.var.session.userId)
    return { roomId, servers: [...servers, ...named] }
  }
  const roomId = parseRoomId(text)
  if (roomId !== undefined) return { roomId, servers: named }
  throw new MatrixError(
    'M_INVALID_PARAM',
    400,
    'Invalid parameter roomIdOrAlias: neither a room id nor an alias',
  )
}

function target(userId: string | undefined): UserId {
  if (userId === undefined) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: user_id')
  return checkedUserId('user_id', userId)
}

function reason(body: { reason?: string | undefined }): JsonObject {
  return body.reason === undefined ? {} : { reason: body.reason }
}

// The two forms of the endpoint have no field in common.
function isThirdPartyInvite(body: JsonObject): boolean {
  const named = ['id_server', 'id_access_token', 'medium', 'address'].find((key) => Object.hasOwn(body, key))
  if (named === undefined) return false
  if (!Object.hasOwn(body, 'user_id')) return true
  throw new MatrixError('M_INVALID_PARAM', 400, `Invalid body: either user_id or ${named}, not both`)
}
