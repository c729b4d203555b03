// Specification: client-server API, "Server Administration".

import * as v from 'valibot'
import { config } from '../config.ts'
import { type Env, hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { requireAdmin } from '../http/require-admin.ts'
import { requireSession } from '../http/session.ts'
import type { UserId } from '../matrix/event.ts'
import { parseUserId, serverNameOf } from '../matrix/identifiers.ts'
import { findUser, setAccountFlag, type User } from '../storage/users.ts'
import { textParam } from './path-params.ts'

const flags = [
  { path: 'suspend', field: 'suspended' },
  { path: 'lock', field: 'locked' },
] as const

// The stable paths, and those of clients from before.
const bases = ['/_matrix/client/v1/admin', '/_matrix/client/unstable/uk.timedout.msc4323/admin']

/** Suspending and locking accounts, and whois. */
export function serverAdministrationRoutes(app: App): void {
  for (const base of bases) {
    for (const { path, field } of flags) {
      // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1adminsuspenduserid
      app.get(`${base}/${path}/:userId`, requireSession(), requireAdmin(), async (c) => {
        const user = await targetUser(c)
        return c.json({ [field]: user[field] })
      })

      // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv1adminsuspenduserid
      app.put(`${base}/${path}/:userId`, requireSession(), requireAdmin(), async (c) => {
        const body = await jsonBody(c, v.looseObject({ [field]: v.boolean() }))
        const user = await targetUser(c)
        if (user.userId === c.var.session.userId) throw forbidden('This is your own account')
        await setFlag(c.env, user, field, body[field] === true)
        return c.json({ [field]: body[field] })
      })
    }
  }

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3adminwhoisuserid
  app.get('/_matrix/client/v3/admin/whois/:userId', requireSession(), (c) => whois(c))
}

/** The account that a path names. M_INVALID_PARAM, M_NOT_FOUND, M_FORBIDDEN for other administrators. */
async function targetUser(c: AppContext): Promise<User> {
  const userId = parseUserId(textParam(c, 'userId'))
  if (!userId || serverNameOf(userId) !== config(c.env).serverName) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter userId: not a user of this server')
  }
  const user = await findUser(c.env, userId)
  if (!user || user.deactivatedAt !== null) throw new MatrixError('M_NOT_FOUND', 404, 'No such user')
  if (user.admin && userId !== c.var.session.userId) {
    throw forbidden('The account of another administrator is out of reach')
  }
  return user
}

async function setFlag(env: Env, user: User, field: 'suspended' | 'locked', value: boolean): Promise<void> {
  if (user[field] !== value) await setAccountFlag(env, user.userId, field, value)
  // Those who wait find out with their next request. Said again, so that a call that broke off can be made good.
  if (field === 'locked') await hubStub(env, user.shard).setLocked(user.userId, value)
}

async function whois(c: AppContext): Promise<Response> {
  const { session } = c.var
  const asked = textParam(c, 'userId')
  // Only about oneself, but for administrators.
  if (asked !== session.userId && !session.admin) throw forbidden('Only administrators may ask about others')
  const userId = parseUserId(asked)
  const user = userId && (await findUser(c.env, userId))
  if (!user) throw new MatrixError('M_NOT_FOUND', 404, 'No such user')
  return c.json({ user_id: user.userId, devices: await devicesSeen(c.env, user) })
}

async function devicesSeen(env: Env, { userId, shard }: { userId: UserId; shard: number }) {
  const devices = await hubStub(env, shard).listDevices(userId)
  return Object.fromEntries(
    devices.map((device) => {
      const connection = {
        ...(device.last_seen_ip === undefined ? {} : { ip: device.last_seen_ip }),
        ...(device.last_seen_ts === undefined ? {} : { last_seen: device.last_seen_ts }),
      }
      const connections = Object.keys(connection).length === 0 ? [] : [connection]
      return [device.device_id, { sessions: [{ connections }] }]
    }),
  )
}

function forbidden(message: string): MatrixError {
  return new MatrixError('M_FORBIDDEN', 403, message)
}
