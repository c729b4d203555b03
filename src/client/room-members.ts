// Specification: client-server API, "Getting events for a room": members; "Room membership": joined rooms.

import * as v from 'valibot'
import { hubStub, roomStub } from '../env.ts'
import type { App } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { roomParam } from './own-user.ts'
import { answerOf, positionOf, viewerOf } from './room-read.ts'

const membershipParam = v.optional(v.picklist(['join', 'invite', 'knock', 'leave', 'ban']))
const querySchema = v.object({
  at: v.optional(v.string()),
  membership: membershipParam,
  not_membership: membershipParam,
})

/** GET …/members, …/joined_members and /joined_rooms. */
export function roomMembersRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmembers
  app.get('/_matrix/client/v3/rooms/:roomId/members', requireSession({ guests: true }), async (c) => {
    const roomId = roomParam(c)
    const { at, membership, not_membership: notMembership } = queryParams(c, querySchema)
    const answer = await roomStub(c.env, roomId).members(viewerOf(c), {
      ...(at === undefined ? {} : { at: await positionOf(c, roomId, 'at', at) }),
      ...(membership === undefined ? {} : { membership }),
      ...(notMembership === undefined ? {} : { notMembership }),
    })
    return answerOf(c, roomId, answer)
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidjoined_members
  app.get('/_matrix/client/v3/rooms/:roomId/joined_members', requireSession(), async (c) => {
    const roomId = roomParam(c)
    return answerOf(c, roomId, await roomStub(c.env, roomId).joinedMembers(viewerOf(c)))
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3joined_rooms
  app.get('/_matrix/client/v3/joined_rooms', requireSession(), async (c) => {
    const { userId, shard } = c.var.session
    return c.json({ joined_rooms: await hubStub(c.env, shard).joinedRooms(userId) })
  })
}
