// Users of other servers who leave through this one: they turn down invites and take back knocks.
// Server-server API, "Leaving Rooms (Rejecting Invites)".

import { roomParam } from '../../client/own-user.ts'
import type { AppContext } from '../../http/app-type.ts'
import type { FederationRequest } from '../../http/federation-auth.ts'
import { writeToRoom } from '../write-to-room.ts'
import { make, sendRequest } from './membership-handshake.ts'
import type { FederationRouter } from './router.ts'

/** GET /make_leave/{roomId}/{userId}, PUT /send_leave/{roomId}/{eventId} in both versions. */
export function leavingRoomsRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_leaveroomiduserid
  router.get('/_matrix/federation/v1/make_leave/:roomId/:userId', (c, { origin }) => make(c, origin, 'leave'))

  // Deprecated. https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_leaveroomideventid
  router.put('/_matrix/federation/v1/send_leave/:roomId/:eventId', async (c, request) => {
    await sendLeave(c, request)
    return c.json([200, {}])
  })

  // https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_leaveroomideventid
  router.put('/_matrix/federation/v2/send_leave/:roomId/:eventId', async (c, request) => {
    await sendLeave(c, request)
    return c.json({})
  })
}

async function sendLeave(c: AppContext, request: FederationRequest): Promise<void> {
  const leave = await sendRequest(c, request, 'leave')
  await writeToRoom(c.env, roomParam(c), (room) => room.sendLeave(leave))
}
