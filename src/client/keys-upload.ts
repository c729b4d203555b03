// Specification: client-server API, POST /keys/upload and GET /keys/changes.

import * as v from 'valibot'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonObject, queryParams } from '../http/json-body.ts'
import { deviceOf, requireSession } from '../http/session.ts'
import { uploadedKeys } from './uploaded-keys.ts'

const changesQuery = v.object({ from: v.string(), to: v.string() })

/** POST /keys/upload, also with the device id in the path as old clients have it, and GET /keys/changes. */
export function keysUploadRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysupload
  app.post('/_matrix/client/v3/keys/upload', requireSession({ guests: true }), async (c) => upload(c))
  app.post('/_matrix/client/v3/keys/upload/:deviceId', requireSession({ guests: true }), async (c) => {
    if (c.req.param('deviceId') === deviceOf(c.var.session).deviceId) return await upload(c)
    throw new MatrixError(
      'M_INVALID_PARAM',
      400,
      'Invalid parameter deviceId: not the device of this session',
    )
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3keyschanges
  app.get('/_matrix/client/v3/keys/changes', requireSession(), async (c) => {
    const { from, to } = queryParams(c, changesQuery)
    const { userId, shard } = c.var.session
    const changes = await hubStub(c.env, shard).keyChanges(userId, from, to)
    if (!changes) throw new MatrixError('M_INVALID_PARAM', 400, 'from and to must be tokens of /sync')
    return c.json({ changed: changes.changed, left: changes.left })
  })
}

async function upload(c: AppContext): Promise<Response> {
  const { userId, shard } = c.var.session
  const { deviceId, generation } = deviceOf(c.var.session)
  const keys = uploadedKeys(await jsonObject(c), { userId, deviceId })
  const { oneTime } = await hubStub(c.env, shard).uploadKeys({ userId, deviceId, generation, ...keys })
  return c.json({ one_time_key_counts: oneTime })
}
