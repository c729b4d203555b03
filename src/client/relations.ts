// Specification: client-server API, "Relationships API".

import * as v from 'valibot'
import { roomStub } from '../env.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { roomParam } from './own-user.ts'
import { textParam } from './path-params.ts'
import { answerOf, countParam, directionParam, positionOf, readerOf } from './room-read.ts'

const querySchema = v.object({
  from: v.optional(v.string()),
  to: v.optional(v.string()),
  limit: countParam,
  dir: v.optional(directionParam, 'b'),
  recurse: v.optional(v.picklist(['true', 'false'])),
})

const usualLimit = 50
const largestLimit = 1000

/** GET …/relations/{eventId}, …/{relType} and …/{eventType}. */
export function relationRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidrelationseventid
  const path = '/_matrix/client/v1/rooms/:roomId/relations/:eventId'
  for (const more of ['', '/:relType', '/:relType/:eventType']) {
    app.get(`${path}${more}`, requireSession(), (c) => relations(c))
  }
}

async function relations(c: AppContext): Promise<Response> {
  const roomId = roomParam(c)
  const query = queryParams(c, querySchema)
  const [relType, eventType] = [c.req.param('relType'), c.req.param('eventType')]
  const from = query.from
  const answer = await roomStub(c.env, roomId).readRelations(await readerOf(c), {
    eventId: textParam(c, 'eventId'),
    ...(relType === undefined ? {} : { relType }),
    ...(eventType === undefined ? {} : { eventType }),
    direction: query.dir,
    limit: Math.min(Math.max(query.limit ?? usualLimit, 1), largestLimit),
    ...(from === undefined
      ? {}
      : { from: { token: from, position: await positionOf(c, roomId, 'from', from) } }),
    ...(query.to === undefined ? {} : { to: await positionOf(c, roomId, 'to', query.to) }),
    recurse: query.recurse === 'true',
  })
  return await answerOf(c, roomId, answer)
}
