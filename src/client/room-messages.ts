// Specification: client-server API, "Getting events for a room", "Syncing" (paginating back).

import * as v from 'valibot'
import { roomStub } from '../env.ts'
import { fillGap } from '../federation/receive/fill-gap.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import type { RoomId } from '../matrix/event.ts'
import type { MessagesRequest, StreamToken } from '../room/messages.ts'
import type { ReadAnswer } from '../room/read-answer.ts'
import { roomParam } from './own-user.ts'
import {
  answerOf,
  countParam,
  directionParam,
  eventCount,
  filterParam,
  positionOf,
  readerOf,
  refuseForgotten,
} from './room-read.ts'

const querySchema = v.object({
  dir: directionParam,
  from: v.optional(v.string()),
  to: v.optional(v.string()),
  limit: countParam,
  filter: v.optional(v.string()),
})

/** GET …/messages. */
export function roomMessagesRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages
  app.get('/_matrix/client/v3/rooms/:roomId/messages', requireSession({ guests: true }), async (c) => {
    const roomId = roomParam(c)
    // A forgotten room is none of the user's business any more, whatever else is wrong with the request.
    if (c.req.query('dir') === undefined) await refuseForgotten(c, roomId)
    const request = await messagesRequest(c, roomId)
    return answerOf(c, roomId, await page(c, roomId, request))
  })
}

// A page that would begin with a gap is asked for again when other servers have filled it, or else goes on beyond it.
async function page(c: AppContext, roomId: RoomId, request: MessagesRequest): Promise<ReadAnswer> {
  const room = roomStub(c.env, roomId)
  const reader = await readerOf(c)
  const answer: ReadAnswer = await room.messages(reader, request)
  if (!answer.gap) return answer
  const filled = await fillGap(c.env, roomId, answer.gap)
  return await room.messages(reader, { ...request, overGaps: !filled })
}

async function messagesRequest(c: AppContext, roomId: RoomId): Promise<MessagesRequest> {
  const query = queryParams(c, querySchema)
  const filter = filterParam(query.filter)
  const from = await streamToken(c, roomId, 'from', query.from)
  const to = await streamToken(c, roomId, 'to', query.to)
  return {
    direction: query.dir,
    limit: eventCount(query.limit, filter),
    ...(filter ? { filter } : {}),
    ...(from ? { from } : {}),
    ...(to ? { to: to.position } : {}),
  }
}

async function streamToken(
  c: AppContext,
  roomId: RoomId,
  parameter: string,
  token: string | undefined,
): Promise<StreamToken | undefined> {
  if (token === undefined) return undefined
  return { token, position: await positionOf(c, roomId, parameter, token) }
}
