// Profiles of our users and rooms of our aliases. Server-server API, "Querying for information".

import * as v from 'valibot'
import { type FindAsker, findOrAskForAlias, findOrAskForUser } from '../../appservice/query.ts'
import { isLocal } from '../../client/path-params.ts'
import { config } from '../../config.ts'
import { roomStub } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import { queryParams } from '../../http/json-body.ts'
import { parseRoomAlias, parseUserId } from '../../matrix/identifiers.ts'
import { property } from '../../matrix/json.ts'
import { findProfile } from '../../storage/profiles.ts'
import type { FederationRouter } from './router.ts'

const mostServers = 50
const profileQuery = v.object({ user_id: v.string(), field: v.optional(v.string()) })
const directoryQuery = v.object({ room_alias: v.string() })

// What application services make when it is wanted may be wanted by users of other servers as well.
const askedByServer: FindAsker = async () => 'another server'

/** GET /query/profile, /query/directory, and /query/{queryType} for what else may be asked for. */
export function queryingRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1queryprofile
  router.get('/_matrix/federation/v1/query/profile', async (c) => {
    const { user_id: text, field } = queryParams(c, profileQuery)
    const userId = parseUserId(text)
    if (userId === undefined || !isLocal(c.env, userId)) {
      throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter user_id: no user of this server')
    }
    const find = () => findProfile(c.env, userId)
    const profile = await findOrAskForUser(c.env, userId, askedByServer, find)
    if (!profile) throw new MatrixError('M_NOT_FOUND', 404, 'No such profile')
    if (field === undefined) return c.json(profile)
    const value = property(profile, field)
    return c.json(value === undefined ? {} : { [field]: value })
  })

  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1querydirectory
  router.get('/_matrix/federation/v1/query/directory', async (c) => {
    const alias = parseRoomAlias(queryParams(c, directoryQuery).room_alias)
    if (alias === undefined) {
      throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter room_alias: not a room alias')
    }
    const hosted = isLocal(c.env, alias) ? await findOrAskForAlias(c.env, alias, askedByServer) : undefined
    if (!hosted) throw new MatrixError('M_NOT_FOUND', 404, 'Room alias not found')
    const inRoom = await roomStub(c.env, hosted.roomId).serversInRoom(mostServers)
    const { serverName } = config(c.env)
    // This server first where it is there: it knows the room for certain.
    const others = inRoom.filter((name) => name !== serverName)
    const servers = inRoom.length > others.length ? [serverName, ...others] : others
    return c.json({ room_id: hosted.roomId, servers })
  })

  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1queryquerytype
  router.get('/_matrix/federation/v1/query/:queryType', () => {
    throw new MatrixError('M_UNRECOGNIZED', 404, 'Unrecognized query')
  })
}
