// Specification: client-server API, "Threading": the threads of a room.

import * as v from 'valibot'
import { roomStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { parseToken } from '../room/tokens.ts'
import { roomParam } from './own-user.ts'
import { answerOf, countParam, readerOf } from './room-read.ts'

const querySchema = v.object({
  include: v.optional(v.picklist(['all', 'participated']), 'all'),
  limit: countParam,
  from: v.optional(v.string()),
})

const usualLimit = 20
const largestLimit = 100

/** GET …/threads. */
export function threadRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidthreads
  app.get('/_matrix/client/v1/rooms/:roomId/threads', requireSession(), async (c) => {
    const roomId = roomParam(c)
    const { include, limit, from } = queryParams(c, querySchema)
    if (limit === 0) throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid field limit: greater than zero')
    const position = from === undefined ? undefined : parseToken(from)
    if (from !== undefined && position === undefined) {
      throw new MatrixError('M_INVALID_PARAM', 400, 'from is not a token of this endpoint')
    }
    const answer = await roomStub(c.env, roomId).listThreads(await readerOf(c), {
      include,
      limit: Math.min(limit ?? usualLimit, largestLimit),
      ...(position === undefined ? {} : { from: position }),
    })
    return await answerOf(c, roomId, answer)
  })
}
