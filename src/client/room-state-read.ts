// Specification: client-server API, "Getting events for a room": state.

import * as v from 'valibot'
import { roomStub } from '../env.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { roomParam } from './own-user.ts'
import { answerOf, viewerOf } from './room-read.ts'

const querySchema = v.object({ format: v.optional(v.picklist(['content', 'event']), 'content') })

/** GET …/state, …/state/{eventType} and …/state/{eventType}/{stateKey}. */
export function roomStateReadRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstate
  app.get('/_matrix/client/v3/rooms/:roomId/state', requireSession({ guests: true }), async (c) => {
    const roomId = roomParam(c)
    return answerOf(c, roomId, await roomStub(c.env, roomId).readState(viewerOf(c)))
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidstateeventtypestatekey
  // The slash before an empty state key may be left out.
  app.get('/_matrix/client/v3/rooms/:roomId/state/:eventType', requireSession({ guests: true }), (c) =>
    stateEvent(c),
  )
  app.get('/_matrix/client/v3/rooms/:roomId/state/:eventType/', requireSession({ guests: true }), (c) =>
    stateEvent(c),
  )
  app.get(
    '/_matrix/client/v3/rooms/:roomId/state/:eventType/:stateKey',
    requireSession({ guests: true }),
    (c) => stateEvent(c),
  )
}

async function stateEvent(c: AppContext): Promise<Response> {
  const roomId = roomParam(c)
  const { format } = queryParams(c, querySchema)
  const answer = await roomStub(c.env, roomId).readStateEvent(viewerOf(c), {
    type: c.req.param('eventType') ?? '',
    stateKey: c.req.param('stateKey') ?? '',
    format,
  })
  return answerOf(c, roomId, answer)
}
