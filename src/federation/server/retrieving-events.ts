// Single events, the state before one, what one rests upon, and the one closest to a time.
// Server-server API, "Retrieving events", "Retrieving event authorisation information".

import * as v from 'valibot'
import { eventParam } from '../../client/path-params.ts'
import { roomParam } from '../../client/own-user.ts'
import { config } from '../../config.ts'
import { roomStub } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import type { AppContext } from '../../http/app-type.ts'
import { queryParams } from '../../http/json-body.ts'
import { findRoomOfEvent } from '../../storage/event-rooms.ts'
import type { FederationRouter } from './router.ts'

const atEvent = v.object({ event_id: v.string() })
const nearTime = v.object({
  ts: v.pipe(v.string(), v.regex(/^\d{1,16}$/, 'must be a time in milliseconds'), v.transform(Number)),
  dir: v.picklist(['f', 'b']),
})

/** GET /event/{eventId}, /state/{roomId}, /state_ids/{roomId}, /event_auth/{roomId}/{eventId}, /timestamp_to_event/{roomId}. */
export function retrievingEventsRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1eventeventid
  router.get('/_matrix/federation/v1/event/:eventId', async (c, { origin }) => {
    const eventId = eventParam(c)
    const roomId = await findRoomOfEvent(c.env, eventId)
    if (!roomId) throw new MatrixError('M_NOT_FOUND', 404, 'Event not found')
    return transaction(c, `[${await roomStub(c.env, roomId).eventForServer(origin, eventId)}]`)
  })

  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1stateroomid
  router.get('/_matrix/federation/v1/state/:roomId', async (c, { origin }) => {
    const room = roomStub(c.env, roomParam(c))
    return json(c, await room.stateBeforeEvent(origin, queryParams(c, atEvent).event_id))
  })

  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1state_idsroomid
  router.get('/_matrix/federation/v1/state_ids/:roomId', async (c, { origin }) => {
    const room = roomStub(c.env, roomParam(c))
    return json(c, await room.stateIdsBeforeEvent(origin, queryParams(c, atEvent).event_id))
  })

  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1event_authroomideventid
  router.get('/_matrix/federation/v1/event_auth/:roomId/:eventId', async (c, { origin }) => {
    return json(c, await roomStub(c.env, roomParam(c)).eventAuthChain(origin, eventParam(c)))
  })

  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1timestamp_to_eventroomid
  router.get('/_matrix/federation/v1/timestamp_to_event/:roomId', async (c, { origin }) => {
    const { ts, dir } = queryParams(c, nearTime)
    const room = roomStub(c.env, roomParam(c))
    return json(c, await room.eventNearFor(origin, { timestamp: ts, direction: dir }))
  })
}

/** An answer that a room has made as JSON text. */
export function json(c: AppContext, body: string | ReadableStream<Uint8Array>): Response {
  return c.body(body, 200, { 'Content-Type': 'application/json' })
}

/** Events in the form of a transaction. `pdus` is a JSON list as text. */
export function transaction(c: AppContext, pdus: string): Response {
  const { serverName } = config(c.env)
  return json(c, `{"origin":${JSON.stringify(serverName)},"origin_server_ts":${Date.now()},"pdus":${pdus}}`)
}
