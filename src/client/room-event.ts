// Specification: client-server API, "Getting events for a room": single events.

import { roomStub } from '../env.ts'
import type { App } from '../http/app-type.ts'
import { requireSession } from '../http/session.ts'
import { roomParam } from './own-user.ts'
import { answerOf, readerOf } from './room-read.ts'

/** GET …/event/{eventId}. */
export function roomEventRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid
  app.get('/_matrix/client/v3/rooms/:roomId/event/:eventId', requireSession({ guests: true }), async (c) => {
    const roomId = roomParam(c)
    const answer = await roomStub(c.env, roomId).readEvent(await readerOf(c), c.req.param('eventId'))
    return answerOf(c, roomId, answer)
  })
}
