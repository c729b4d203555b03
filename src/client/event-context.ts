// Specification: client-server API, "Event Context".

import * as v from 'valibot'
import { roomStub } from '../env.ts'
import type { App } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { roomParam } from './own-user.ts'
import { answerOf, countParam, eventCount, filterParam, readerOf } from './room-read.ts'

const querySchema = v.object({ limit: countParam, filter: v.optional(v.string()) })

/** GET …/context/{eventId}. */
export function eventContextRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidcontexteventid
  app.get(
    '/_matrix/client/v3/rooms/:roomId/context/:eventId',
    requireSession({ guests: true }),
    async (c) => {
      const roomId = roomParam(c)
      const query = queryParams(c, querySchema)
      const filter = filterParam(query.filter)
      const answer = await roomStub(c.env, roomId).contextEvents(await readerOf(c), {
        eventId: c.req.param('eventId'),
        limit: eventCount(query.limit, filter),
        ...(filter ? { filter } : {}),
      })
      return answerOf(c, roomId, answer)
    },
  )
}
