// Specification: client-server API, "Room aliases".

import { writeToRoom } from '../federation/write-to-room.ts'
import * as v from 'valibot'
import { tellAliases } from '../appservice/tell-aliases.ts'
import { looksAfterAlias, refuseForeignAlias } from '../appservice/namespaces.ts'
import { roomStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { refuseSuspended, requireKnownUser, requireSession } from '../http/session.ts'
import type { RoomAlias } from '../matrix/event.ts'
import { localpartOf, parseRoomId } from '../matrix/identifiers.ts'
import { aliasesOfRoom, deleteAlias, findAlias, insertAlias } from '../storage/aliases.ts'
import { askerOf } from './appservice-asker.ts'
import { roomParam } from './own-user.ts'
import { aliasParam, isLocal } from './path-params.ts'
import { resolveAlias } from './resolve-alias.ts'

/** PUT, GET and DELETE /directory/room/{roomAlias}, GET /rooms/{roomId}/aliases. */
export function roomAliasRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3directoryroomroomalias
  app.put('/_matrix/client/v3/directory/room/:roomAlias', requireSession(), async (c) => {
    const { userId } = c.var.session
    refuseSuspended(c.var.session)
    await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
    const alias = ownAlias(c)
    refuseForeignAlias(c.env, alias, c.var.session.appservice)
    const body = await jsonBody(c, v.looseObject({ room_id: v.string() }))
    const roomId = parseRoomId(body.room_id)
    if (roomId === undefined)
      throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid field room_id: not a room id')
    const { joined } = await roomStub(c.env, roomId).aliasStanding(userId)
    if (!joined) throw new MatrixError('M_FORBIDDEN', 403, 'You are not in this room')
    if (!(await insertAlias(c.env, { alias, roomId, creator: userId }))) {
      throw new MatrixError('M_UNKNOWN', 409, `Room alias ${alias} already exists`)
    }
    await tellAliases(c.env, roomId, [alias])
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3directoryroomroomalias
  app.get('/_matrix/client/v3/directory/room/:roomAlias', async (c) => {
    const alias = aliasParam(c)
    // Other servers are asked for our users alone.
    if (!isLocal(c.env, alias)) await requireKnownUser(c)
    const { roomId, servers } = await resolveAlias(c.env, alias, () => askerOf(c))
    return c.json({ room_id: roomId, servers: [...servers] })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3directoryroomroomalias
  app.delete('/_matrix/client/v3/directory/room/:roomAlias', requireSession(), async (c) => {
    const { userId, admin, appservice } = c.var.session
    refuseSuspended(c.var.session)
    const alias = ownAlias(c)
    // An application service has full control over its namespace.
    const controlled = appservice !== undefined && looksAfterAlias(appservice, alias)
    refuseForeignAlias(c.env, alias, controlled ? appservice : undefined)
    const hosted = await findAlias(c.env, alias)
    if (!hosted) throw new MatrixError('M_NOT_FOUND', 404, `Room alias ${alias} not found`)
    const room = roomStub(c.env, hosted.roomId)
    // Who set an alias may remove it, and so may those who could change the main alias of its room.
    const allowed = controlled || admin || hosted.creator === userId
    if (!allowed && !(await room.aliasStanding(userId)).power) {
      throw new MatrixError('M_FORBIDDEN', 403, 'You do not have the power to remove this alias')
    }
    await deleteAlias(c.env, alias, hosted.roomId)
    await writeToRoom(c.env, hosted.roomId, (writable) =>
      writable.withdrawAliases({ sender: userId, aliases: [alias] }),
    )
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidaliases
  app.get('/_matrix/client/v3/rooms/:roomId/aliases', requireSession(), async (c) => {
    const { userId, admin } = c.var.session
    const roomId = roomParam(c)
    const { joined, worldReadable } = await roomStub(c.env, roomId).aliasStanding(userId)
    if (!joined && !worldReadable && !admin) {
      throw new MatrixError('M_FORBIDDEN', 403, 'You are not in this room')
    }
    return c.json({ aliases: await aliasesOfRoom(c.env, roomId) })
  })
}

/** The alias that a path names, if this server could host it. M_INVALID_PARAM. */
function ownAlias(c: AppContext): RoomAlias {
  const alias = aliasParam(c)
  if (!isLocal(c.env, alias)) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter roomAlias: not an alias of this server')
  }
  checkAliasLocalpart('roomAlias', localpartOf(alias))
  return alias
}

/** Refuses localparts of new aliases that nobody could read or type. M_INVALID_PARAM. */
export function checkAliasLocalpart(name: string, localpart: string): void {
  if (localpart === '' || /[\s:\p{Cc}]/u.test(localpart)) {
    throw new MatrixError(
      'M_INVALID_PARAM',
      400,
      `Invalid parameter ${name}: not the localpart of a room alias`,
    )
  }
}
