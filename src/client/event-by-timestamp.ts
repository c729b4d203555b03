// Specification: client-server API, "Getting events for a room": by time.

import * as v from 'valibot'
import { roomStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { withCloserEvent } from '../federation/receive/closer-event.ts'
import type { App } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { roomParam } from './own-user.ts'
import { directionParam, refuseForgotten } from './room-read.ts'

const querySchema = v.object({
  ts: v.pipe(v.string(), v.regex(/^-?\d{1,15}$/, 'not an integer'), v.transform(Number)),
  dir: directionParam,
})

/** GET …/timestamp_to_event. */
export function eventByTimestampRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event
  app.get('/_matrix/client/v1/rooms/:roomId/timestamp_to_event', requireSession(), async (c) => {
    const roomId = roomParam(c)
    const { userId } = c.var.session
    const { ts: timestamp, dir: direction } = queryParams(c, querySchema)
    const request = { timestamp, direction }
    const answer = await roomStub(c.env, roomId).eventByTimestamp(userId, request)
    if (answer.left) await refuseForgotten(c, roomId)
    const { found } = await withCloserEvent(c.env, roomId, { ...request, userId }, answer)
    if (!found) {
      throw new MatrixError('M_NOT_FOUND', 404, 'No event was found from that time in that direction')
    }
    return c.json({ event_id: found.eventId, origin_server_ts: found.timestamp })
  })
}
