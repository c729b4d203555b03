// Specification: client-server API, "Getting events for a room": single events.

import { hubStub, roomStub } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { requireSession } from '../http/session.ts'
import type { RoomId } from '../matrix/event.ts'
import type { Viewer } from '../room/client-event.ts'
import { findRoomOfEvent } from '../storage/event-rooms.ts'
import { roomParam } from './own-user.ts'
import { textParam } from './path-params.ts'
import { answerOf, readerOf } from './room-read.ts'

/** GET …/event/{eventId}, and the deprecated GET /events/{eventId}, which does not name the room. */
export function roomEventRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomideventeventid
  app.get('/_matrix/client/v3/rooms/:roomId/event/:eventId', requireSession({ guests: true }), async (c) => {
    const roomId = roomParam(c)
    const answer = await roomStub(c.env, roomId).readEvent(await readerOf(c), c.req.param('eventId'))
    return answerOf(c, roomId, answer)
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3eventseventid
  app.get('/_matrix/client/v3/events/:eventId', requireSession(), (c) => eventOfAnyRoom(c))
}

const roomsAtOnce = 6

// Which room an event is in is only noted where other servers are; else it must be one of the user's own rooms.
async function eventOfAnyRoom(c: AppContext): Promise<Response> {
  const { userId, shard } = c.var.session
  const eventId = textParam(c, 'eventId')
  const known = await findRoomOfEvent(c.env, eventId)
  const own = known === undefined ? await hubStub(c.env, shard).roomsOf(userId) : [{ roomId: known }]
  const viewer = await readerOf(c)
  for (let start = 0; start < own.length; start += roomsAtOnce) {
    const rooms = own.slice(start, start + roomsAtOnce)
    const answers = await Promise.all(rooms.map(({ roomId }) => findEvent(c, viewer, roomId, eventId)))
    const found = answers.find((answer) => answer !== undefined)
    if (found) return found
  }
  throw new MatrixError('M_NOT_FOUND', 404, 'Event not found')
}

async function findEvent(
  c: AppContext,
  viewer: Viewer,
  roomId: RoomId,
  eventId: string,
): Promise<Response | undefined> {
  try {
    return await answerOf(c, roomId, await roomStub(c.env, roomId).readEvent(viewer, eventId))
  } catch (error) {
    // Not there, or not for this user: both are answered alike.
    if (isMatrixError(error) && (error.status === 404 || error.status === 403)) return undefined
    throw error
  }
}
