// Specification: client-server API, "Filtering".

import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { jsonObject } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { FilterError, parseFilter } from '../matrix/filter.ts'
import type { JsonObject } from '../matrix/json.ts'
import { requireOwnUser } from './own-user.ts'

/** POST /user/{userId}/filter, GET /user/{userId}/filter/{filterId}. */
export function filterRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridfilter
  app.post('/_matrix/client/v3/user/:userId/filter', requireSession(), async (c) => {
    requireOwnUser(c)
    const filter = await jsonObject(c)
    refuseUnusable(filter)
    const { userId, shard } = c.var.session
    return c.json({ filter_id: await hubStub(c.env, shard).storeFilter(userId, JSON.stringify(filter)) })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridfilterfilterid
  app.get('/_matrix/client/v3/user/:userId/filter/:filterId', requireSession(), async (c) => {
    requireOwnUser(c)
    const { userId, shard } = c.var.session
    const json = await hubStub(c.env, shard).getFilter(userId, c.req.param('filterId'))
    if (json === undefined) throw new MatrixError('M_NOT_FOUND', 404, 'No such filter')
    return c.body(json, 200, { 'Content-Type': 'application/json' })
  })
}

function refuseUnusable(filter: JsonObject): void {
  try {
    parseFilter(filter)
  } catch (error) {
    if (error instanceof FilterError)
      throw new MatrixError('M_BAD_JSON', 400, `Invalid filter: ${error.message}`)
    throw error
  }
}
