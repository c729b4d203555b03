// Specification: client-server API, "Spaces".

import * as v from 'valibot'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { requireSession } from '../http/session.ts'
import { formatHierarchyToken, type HierarchyPlace, parseHierarchyToken } from './hierarchy-token.ts'
import { roomParam } from './own-user.ts'
import { userRooms } from './preview-access.ts'
import { serversBehind } from './remote-standing.ts'
import { walkSpace } from './space-walk.ts'

// A room is a request; with 40 of them there is room below 50 for what else a page needs.
const mostRooms = 40
const deepest = 16

const integer = v.pipe(v.string(), v.regex(/^\d{1,9}$/, 'must be an integer'), v.transform(Number))
const querySchema = v.object({
  suggested_only: v.optional(v.picklist(['true', 'false']), 'false'),
  limit: v.optional(v.pipe(integer, v.minValue(1, 'must be greater than zero'))),
  max_depth: v.optional(integer),
  from: v.optional(v.string()),
})

/** GET …/hierarchy. */
export function spaceHierarchyRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidhierarchy
  app.get('/_matrix/client/v1/rooms/:roomId/hierarchy', requireSession(), async (c) => {
    const { session } = c.var
    await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
    const root = roomParam(c)
    const query = queryParams(c, querySchema)
    const question = {
      suggestedOnly: query.suggested_only === 'true',
      maxDepth: Math.min(query.max_depth ?? deepest, deepest),
    }
    const after: HierarchyPlace | undefined =
      query.from === undefined ? undefined : parseHierarchyToken(query.from, root, question)
    if (query.from !== undefined && !after) {
      throw new MatrixError(
        'M_INVALID_PARAM',
        400,
        'Invalid parameter from: not a token of this room with this suggested_only and max_depth',
      )
    }
    const page = await walkSpace({
      ...question,
      env: c.env,
      userId: session.userId,
      root,
      rootVia: async () =>
        serversBehind(await hubStub(c.env, session.shard).standingIn(session.userId, root), session.userId),
      limit: Math.min(query.limit ?? mostRooms, mostRooms),
      ...(after ? { after } : {}),
      userRooms: userRooms(c.env, session),
    })
    if (!page) throw new MatrixError('M_FORBIDDEN', 403, 'You may not view this room')
    return c.json({
      rooms: page.rooms,
      ...(page.end ? { next_batch: formatHierarchyToken(question, page.end) } : {}),
    })
  })
}
