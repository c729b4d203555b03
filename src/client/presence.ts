// Specification: client-server API, "Presence".

import * as v from 'valibot'
import { config } from '../config.ts'
import { type Env, hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { refuseSuspended, requireSession, type Session } from '../http/session.ts'
import type { PresenceContent } from '../hub/presence.ts'
import type { UserId } from '../matrix/event.ts'
import { shardOf } from '../storage/users.ts'
import { requireOwnUser } from './own-user.ts'
import { checkedUserId, isLocal, textParam } from './path-params.ts'

// It is kept, and goes out to everybody who shares a room.
const longestStatus = 1000

const statusBody = v.looseObject({
  presence: v.picklist(['online', 'offline', 'unavailable']),
  status_msg: v.nullish(v.pipe(v.string(), v.maxLength(longestStatus))),
})

/** GET and PUT /presence/{userId}/status. */
export function presenceRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3presenceuseridstatus
  app.get('/_matrix/client/v3/presence/:userId/status', requireSession(), async (c) => {
    const userId = checkedUserId('userId', textParam(c, 'userId'))
    const { displayname: _, avatar_url: __, ...status } = await visiblePresence(c.env, c.var.session, userId)
    return c.json(status)
  })

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3presenceuseridstatus
  app.put('/_matrix/client/v3/presence/:userId/status', requireSession(), async (c) => {
    requireOwnUser(c)
    const { presence, status_msg: statusMsg } = await jsonBody(c, statusBody)
    const { userId, device, shard } = c.var.session
    // The message is as much a part of what others are shown as the name is.
    if (statusMsg) refuseSuspended(c.var.session)
    if (config(c.env).presence) {
      // An empty message is how clients remove one.
      await hubStub(c.env, shard).setPresence({
        userId,
        deviceId: device?.deviceId,
        presence,
        statusMsg: statusMsg || undefined,
      })
    }
    return c.json({})
  })
}

// Presence is shown to those who share a room with the user, and to the user. Whether there is such a user is not told.
async function visiblePresence(env: Env, session: Session, userId: UserId): Promise<PresenceContent> {
  const own = hubStub(env, session.shard)
  if (userId === session.userId) return await own.presenceOf(userId)
  const shard = isLocal(env, userId) ? await shardOf(env, userId) : undefined
  const content =
    shard === undefined
      ? await own.otherPresence(session.userId, userId)
      : await hubStub(env, shard).presenceIn(userId, await own.joinedRooms(session.userId))
  if (content) return content
  throw new MatrixError('M_FORBIDDEN', 403, 'You are not allowed to see their presence')
}
