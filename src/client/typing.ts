// Specification: client-server API, "Typing Notifications".

import * as v from 'valibot'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { tellOtherShards } from './other-shards.ts'
import { roomParam } from './own-user.ts'
import { textParam } from './path-params.ts'

const body = v.looseObject({
  typing: v.boolean(),
  timeout: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 30_000),
})

/** PUT …/typing/{userId}. */
export function typingRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidtypinguserid
  app.put('/_matrix/client/v3/rooms/:roomId/typing/:userId', requireSession(), async (c) => {
    const { userId, shard } = c.var.session
    if (textParam(c, 'userId') !== userId) {
      throw new MatrixError('M_FORBIDDEN', 403, 'Nobody can type for another user')
    }
    const roomId = roomParam(c)
    const { typing, timeout } = await jsonBody(c, body)
    const request = { userId, roomId, typing, timeout }
    await hubStub(c.env, shard).setTyping(request)
    await tellOtherShards(c.env, shard, (hub) => hub.applyTyping(request))
    return c.json({})
  })
}
