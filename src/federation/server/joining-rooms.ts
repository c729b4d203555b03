// Users of other servers who come into a room through this one. Server-server API, "Joining Rooms".

import { roomParam } from '../../client/own-user.ts'
import type { AppContext } from '../../http/app-type.ts'
import type { FederationRequest } from '../../http/federation-auth.ts'
import { writeToRoom } from '../write-to-room.ts'
import { joiningUser, make, roomsJoinedBy, sendRequest } from './membership-handshake.ts'
import { json } from './retrieving-events.ts'
import type { FederationRouter } from './router.ts'

/** GET /make_join/{roomId}/{userId}, PUT /send_join/{roomId}/{eventId} in both versions. */
export function joiningRoomsRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_joinroomiduserid
  router.get('/_matrix/federation/v1/make_join/:roomId/:userId', (c, { origin }) =>
    // Who says nothing knows version 1 alone.
    make(c, origin, 'join', c.req.queries('ver') ?? ['1']),
  )

  // Deprecated. https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_joinroomideventid
  router.put('/_matrix/federation/v1/send_join/:roomId/:eventId', async (c, request) =>
    json(c, (await sendJoin(c, request, false)).pipeThrough(inV1Form())),
  )

  // https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid
  router.put('/_matrix/federation/v2/send_join/:roomId/:eventId', async (c, request) =>
    json(c, await sendJoin(c, request, c.req.query('omit_members') === 'true')),
  )
}

async function sendJoin(
  c: AppContext,
  request: FederationRequest,
  omitMembers: boolean,
): Promise<ReadableStream<Uint8Array>> {
  const roomId = roomParam(c)
  const join = { ...(await sendRequest(c, request, 'join')), omitMembers }
  const answer = await writeToRoom(c.env, roomId, (room) => room.sendJoin(join))
  if ('body' in answer) return answer.body
  const userId = joiningUser(join.pdu)
  const memberOf = userId === undefined ? [] : await roomsJoinedBy(c.env, userId, answer.needsMembership)
  const decided = await writeToRoom(c.env, roomId, (room) => room.sendJoin({ ...join, memberOf }))
  if ('body' in decided) return decided.body
  throw new Error('the room asked for memberships twice')
}

// The first version of the answer stands in a list behind its status.
function inV1Form(): TransformStream<Uint8Array, Uint8Array> {
  const utf8 = new TextEncoder()
  return new TransformStream({
    start: (controller) => controller.enqueue(utf8.encode('[200,')),
    flush: (controller) => controller.enqueue(utf8.encode(']')),
  })
}
