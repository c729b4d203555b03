// Users of other servers who knock through this one. Server-server API, "Knocking upon a room".

import { roomParam } from '../../client/own-user.ts'
import { MatrixError } from '../../errors.ts'
import { writeToRoom } from '../write-to-room.ts'
import { make, sendRequest } from './membership-handshake.ts'
import { json } from './retrieving-events.ts'
import type { FederationRouter } from './router.ts'

/** GET /make_knock/{roomId}/{userId}, PUT /send_knock/{roomId}/{eventId}. */
export function knockingRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1make_knockroomiduserid
  router.get('/_matrix/federation/v1/make_knock/:roomId/:userId', (c, { origin }) => {
    const versions = c.req.queries('ver')
    if (!versions) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing parameter: ver')
    return make(c, origin, 'knock', versions)
  })

  // https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1send_knockroomideventid
  router.put('/_matrix/federation/v1/send_knock/:roomId/:eventId', async (c, request) => {
    const knock = await sendRequest(c, request, 'knock')
    return json(c, await writeToRoom(c.env, roomParam(c), (room) => room.sendKnock(knock)))
  })
}
