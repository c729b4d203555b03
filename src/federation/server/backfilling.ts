// The events before some, and those between others. Server-server API, "Backfilling and retrieving missing events".

import * as v from 'valibot'
import { roomParam } from '../../client/own-user.ts'
import { roomStub } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import { checked, queryParams } from '../../http/json-body.ts'
import { json, transaction } from './retrieving-events.ts'
import type { FederationRouter } from './router.ts'

// Rooms have a few extremities, seldom more than a hundred.
const mostIds = 1000
const defaultMissing = 10

const backfillQuery = v.object({ limit: v.pipe(v.string(), v.digits(), v.transform(Number)) })
const eventIds = v.pipe(v.array(v.string()), v.maxLength(mostIds))
const missingBody = v.looseObject({
  limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), defaultMissing),
  min_depth: v.optional(v.pipe(v.number(), v.integer()), 0),
  earliest_events: eventIds,
  latest_events: eventIds,
})

/** GET /backfill/{roomId}, POST /get_missing_events/{roomId}. */
export function backfillingRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1backfillroomid
  router.get('/_matrix/federation/v1/backfill/:roomId', async (c, { origin }) => {
    const { limit } = queryParams(c, backfillQuery)
    const from = c.req.queries('v') ?? []
    if (from.length === 0) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing parameter: v')
    if (from.length > mostIds) throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter v: too many')
    return transaction(c, await roomStub(c.env, roomParam(c)).backfillFor(origin, { from, limit }))
  })

  // https://spec.matrix.org/v1.19/server-server-api/#post_matrixfederationv1get_missing_eventsroomid
  router.post('/_matrix/federation/v1/get_missing_events/:roomId', async (c, { origin, content }) => {
    const body = checked(missingBody, content, 'M_INVALID_PARAM')
    const events = await roomStub(c.env, roomParam(c)).missingEventsFor(origin, {
      earliest: body.earliest_events,
      latest: body.latest_events,
      limit: body.limit,
      minDepth: body.min_depth,
    })
    return json(c, `{"events":${events}}`)
  })
}
