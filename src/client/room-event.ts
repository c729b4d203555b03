// Specification: client-server API, "Getting events for a room": single events.

import * as v from 'valibot'
import { roomStub } from '../env.ts'
import type { App } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { roomParam } from './own-user.ts'
import { answerOf, directionParam, readerOf, viewerOf } from './room-read.ts'

const timestampQuery = v.object({
  ts: v.pipe(v.string(), v.regex(/^-?\d{1,15}$/, 'not an integer'), v.transform(Number)),
  dir: directionParam,
})

/** GET …/event/{eventId} and …/timestamp_to_event. */
export function roomEventRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid
  app.get('/_matrix/client/v3/rooms/:roomId/event/:eventId', requireSession({ guests: true }), async (c) => {
    const roomId = roomParam(c)
    const answer = await roomStub(c.env, roomId).readEvent(await readerOf(c), c.req.param('eventId'))
    return answerOf(c, roomId, answer)
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event
  app.get('/_matrix/client/v1/rooms/:roomId/timestamp_to_event', requireSession(), async (c) => {
    const roomId = roomParam(c)
    const { ts, dir } = queryParams(c, timestampQuery)
    const request = { timestamp: ts, direction: dir }
    return answerOf(c, roomId, await roomStub(c.env, roomId).eventByTimestamp(viewerOf(c), request))
  })
}
