// Notices of the server: an administrator sends them, a user of the server's own says them, each user gets them in one room.
// Specification: client-server API, "Server Notices"; the endpoint is that of Synapse's admin API.

import { randomBytes } from 'node:crypto'
import * as v from 'valibot'
import { createAccount } from '../client/create-account.ts'
import { makeRoom } from '../client/new-room.ts'
import { config } from '../config.ts'
import { type Env, hubStub, roomStub } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { requireAdmin } from '../http/require-admin.ts'
import { refuseSuspended, requireSession, type Session } from '../http/session.ts'
import type { RoomId, UserId } from '../matrix/event.ts'
import { newUserId, parseUserId } from '../matrix/identifiers.ts'
import { isJsonObject, type JsonObject } from '../matrix/json.ts'
import { roomVersion } from '../matrix/room-version.ts'
import { findLocalMembers, type LocalMember } from '../storage/local-members.ts'
import { setProfileField } from '../storage/profiles.ts'
import { keepNoticeRoom, noticeRoomOf } from '../storage/server-notices.ts'

const noticeSchema = v.looseObject({
  user_id: v.string(),
  type: v.optional(v.string(), 'm.room.message'),
  state_key: v.optional(v.string()),
  content: v.custom<JsonObject>(isJsonObject, 'an object is expected'),
})

// Nobody can register a name that begins so.
const localpart = '_server'
const roomName = 'Server Notices'
const tag = 'm.server_notice'

/** POST and PUT /_synapse/admin/v1/send_server_notice. */
export function serverNoticeRoutes(app: App): void {
  const path = '/_synapse/admin/v1/send_server_notice'
  app.post(path, requireSession(), requireAdmin(), (c) => sendNotice(c, randomBytes(16).toString('hex')))
  app.put(`${path}/:txnId`, requireSession(), requireAdmin(), (c) => sendNotice(c, c.req.param('txnId')))
}

async function sendNotice(c: AppContext, txnId: string): Promise<Response> {
  const { user_id: id, type, state_key: stateKey, content } = await jsonBody(c, noticeSchema)
  const target = await localUser(c.env, id)
  const sender = await noticesUser(c.env)
  const roomId = (await noticeRoomOf(c.env, target.userId)) ?? (await newNoticeRoom(c.env, sender, target))
  await inviteAgain(c.env, roomId, sender, target)
  const eventId = await roomStub(c.env, roomId).sendEvent({
    draft: {
      type,
      sender: sender.userId,
      content,
      ...(stateKey === undefined ? {} : { state_key: stateKey }),
    },
    transaction: { deviceId: c.var.session.userId, txnId, path: 'send_server_notice' },
  })
  return c.json({ event_id: eventId })
}

async function localUser(env: Env, id: string): Promise<LocalMember> {
  const userId = parseUserId(id)
  const member = userId && (await findLocalMembers(env, [userId])).get(userId)
  if (!member) throw new MatrixError('M_NOT_FOUND', 404, 'No such user of this server')
  return member
}

/** The user who says the notices, made when the first is sent. No password opens the account. */
async function noticesUser(env: Env): Promise<LocalMember> {
  const userId = newUserId(localpart, config(env).serverName)
  if (!userId) throw new Error('the server name is too long for user ids')
  const known = (await findLocalMembers(env, [userId])).get(userId)
  if (known) return known
  try {
    await createAccount(env, { userId, password: null, admin: false, guest: false })
    await setProfileField(env, userId, 'displayname', roomName)
  } catch (error) {
    // Another request was faster.
    if (!isMatrixError(error) || error.errcode !== 'M_USER_IN_USE') throw error
  }
  return await localUser(env, userId)
}

async function newNoticeRoom(env: Env, sender: LocalMember, target: LocalMember): Promise<RoomId> {
  const rules = roomVersion(config(env).defaultRoomVersion)
  if (!rules) throw new Error('the default room version is unknown')
  const made = await makeRoom(env, {
    rules,
    creator: sender.userId,
    creationContent: { 'm.federate': false },
    preset: 'private_chat',
    // Nobody answers to notices.
    powerLevelContentOverride: { users_default: -10 },
    initialState: [],
    name: roomName,
    isDirect: false,
    published: false,
    invite: [target],
    remoteInvites: [],
  })
  // A crash before this leaves a room that nobody knows, with its invite, and another one is made.
  const roomId = await keepNoticeRoom(env, target.userId, made)
  if (roomId !== made) await takeBack(env, made, sender, target)
  await hubStub(env, target.shard).putTag(target.userId, roomId, tag, '{}')
  return roomId
}

// Another request was faster: the user is to have one room.
async function takeBack(env: Env, roomId: RoomId, sender: LocalMember, target: LocalMember): Promise<void> {
  await roomStub(env, roomId).changeMembership({
    action: 'remove',
    sender: sender.userId,
    target: target.userId,
    content: {},
  })
}

/** Who has left is invited again. */
async function inviteAgain(
  env: Env,
  roomId: RoomId,
  sender: LocalMember,
  target: LocalMember,
): Promise<void> {
  const { userId, shard, profile } = target
  const standing = await hubStub(env, shard).standingIn(userId, roomId)
  if (standing?.membership === 'join' || standing?.membership === 'invite') return
  await roomStub(env, roomId).changeMembership({
    action: 'invite',
    sender: sender.userId,
    target: userId,
    targetShard: shard,
    content: { ...profile },
  })
}

/** Refuses to reject the invite into the notices room. 403 M_CANNOT_LEAVE_SERVER_NOTICE_ROOM. */
export async function refuseNoticeRejection(
  env: Env,
  user: { readonly userId: UserId; readonly shard: number },
  roomId: RoomId,
): Promise<void> {
  const standing = await hubStub(env, user.shard).standingIn(user.userId, roomId)
  if (standing?.membership !== 'invite') return
  if ((await noticeRoomOf(env, user.userId)) !== roomId) return
  throw new MatrixError(
    'M_CANNOT_LEAVE_SERVER_NOTICE_ROOM',
    403,
    'The invite into the room of the server’s notices cannot be rejected',
  )
}

/**
 * Refuses what suspended users may not do in a room, unless it is that of the server's notices, where they are to be reached and
 * may answer. 403 M_USER_SUSPENDED. Specification: "Account suspension".
 */
export async function refuseSuspendedIn(env: Env, session: Session, roomId: RoomId): Promise<void> {
  if (session.suspended && (await noticeRoomOf(env, session.userId)) !== roomId) refuseSuspended(session)
}
