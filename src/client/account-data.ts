// Specification: client-server API, "Client Config".

import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonObject } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { removed } from '../hub/account-data.ts'
import type { RoomId } from '../matrix/event.ts'
import { requireOwnUser, roomParam } from './own-user.ts'

// Since v1.10: also push rules. Both have endpoints of their own.
const managedByServer = new Set(['m.fully_read', 'm.push_rules'])
const longestType = 255

/** GET and PUT of account data, global and of a room. */
export function accountDataRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3useruseridaccount_datatype
  app.put('/_matrix/client/v3/user/:userId/account_data/:type', requireSession(), (c) =>
    putAccountData(c, c.req.param('type'), null),
  )

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridaccount_datatype
  app.get('/_matrix/client/v3/user/:userId/account_data/:type', requireSession(), (c) =>
    getAccountData(c, c.req.param('type'), null),
  )

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3useruseridroomsroomidaccount_datatype
  app.put('/_matrix/client/v3/user/:userId/rooms/:roomId/account_data/:type', requireSession(), (c) =>
    putAccountData(c, c.req.param('type'), roomParam(c)),
  )

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3useruseridroomsroomidaccount_datatype
  app.get('/_matrix/client/v3/user/:userId/rooms/:roomId/account_data/:type', requireSession(), (c) =>
    getAccountData(c, c.req.param('type'), roomParam(c)),
  )

  // MSC3391. To set an empty object does the same.
  const unstable = '/_matrix/client/unstable/org.matrix.msc3391/user/:userId'
  app.delete(`${unstable}/account_data/:type`, requireSession(), (c) =>
    deleteAccountData(c, c.req.param('type'), null),
  )
  app.delete(`${unstable}/rooms/:roomId/account_data/:type`, requireSession(), (c) =>
    deleteAccountData(c, c.req.param('type'), roomParam(c)),
  )
}

async function deleteAccountData(c: AppContext, type: string, roomId: RoomId | null): Promise<Response> {
  requireOwnUser(c)
  refuseManaged(type)
  const { userId, shard } = c.var.session
  await hubStub(c.env, shard).putAccountData(userId, roomId, { type, content: removed })
  return c.json({})
}

function refuseManaged(type: string): void {
  if (managedByServer.has(type)) throw new MatrixError('M_BAD_JSON', 405, `${type} cannot be set here`)
}

async function putAccountData(c: AppContext, type: string, roomId: RoomId | null): Promise<Response> {
  requireOwnUser(c)
  refuseManaged(type)
  if (type.length > longestType)
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter type: too long')
  const content = JSON.stringify(await jsonObject(c))
  const { userId, shard } = c.var.session
  await hubStub(c.env, shard).putAccountData(userId, roomId, { type, content })
  return c.json({})
}

async function getAccountData(c: AppContext, type: string, roomId: RoomId | null): Promise<Response> {
  requireOwnUser(c)
  const { userId, shard } = c.var.session
  const content = await hubStub(c.env, shard).getAccountData(userId, roomId, type)
  if (content === undefined) throw new MatrixError('M_NOT_FOUND', 404, 'No such account data')
  return c.body(content, 200, { 'Content-Type': 'application/json' })
}
