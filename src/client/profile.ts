// Specification: client-server API, "Profiles". Fields beside name, avatar and time zone since v1.16 (MSC4133).

import { findOrAskForUser } from '../appservice/query.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import { queryProfile } from '../federation/client/queries.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonObject } from '../http/json-body.ts'
import { rateLimitByAddress, rateLimitUser } from '../http/rate-limit.ts'
import { optionalSession, refuseSuspended, requireSession } from '../http/session.ts'
import type { UserId } from '../matrix/event.ts'
import { parseUserId } from '../matrix/identifiers.ts'
import { type JsonObject, type JsonValue, property } from '../matrix/json.ts'
import { findProfile } from '../storage/profiles.ts'
import { askerOf } from './appservice-asker.ts'
import { changeProfile, checkedValue } from './change-profile.ts'
import { isLocal } from './path-params.ts'

// The common namespaced identifier grammar: namespaced by at least one dot, as nobody may take names of the specification.
const keyGrammar = /^(?:avatar_url|displayname|[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)+)$/
// In bytes.
const longestKey = 255

/** GET /profile/{userId}, GET, PUT and DELETE /profile/{userId}/{keyName}, also under the unstable prefix. */
export function profileRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3profileuserid
  app.get('/_matrix/client/v3/profile/:userId', (c) => getProfile(c))
  app.get('/_matrix/client/unstable/uk.tcpip.msc4133/profile/:userId', (c) => getProfile(c))

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3profileuseridkeyname
  app.get('/_matrix/client/v3/profile/:userId/:keyName', (c) => getProfileField(c))
  app.get('/_matrix/client/unstable/uk.tcpip.msc4133/profile/:userId/:keyName', (c) => getProfileField(c))

  const signedIn = requireSession({ guests: true })

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3profileuseridkeyname
  app.put('/_matrix/client/v3/profile/:userId/:keyName', signedIn, (c) => putProfileField(c))
  app.put('/_matrix/client/unstable/uk.tcpip.msc4133/profile/:userId/:keyName', signedIn, (c) =>
    putProfileField(c),
  )

  // https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3profileuseridkeyname
  app.delete('/_matrix/client/v3/profile/:userId/:keyName', signedIn, (c) => deleteProfileField(c))
  app.delete('/_matrix/client/unstable/uk.tcpip.msc4133/profile/:userId/:keyName', signedIn, (c) =>
    deleteProfileField(c),
  )
}

async function getProfile(c: AppContext): Promise<Response> {
  return c.json(await profileOf(c))
}

async function getProfileField(c: AppContext): Promise<Response> {
  const key = keyParam(c)
  const value = property(await profileOf(c), key)
  if (value === undefined) throw new MatrixError('M_NOT_FOUND', 404, 'No such profile field')
  return c.json({ [key]: value })
}

async function putProfileField(c: AppContext): Promise<Response> {
  const key = ownKeyParam(c)
  const body = await fieldBody(c)
  const value = property(body, key)
  if (value === undefined) throw new MatrixError('M_MISSING_PARAM', 400, `Missing field: ${key}`)
  const other = Object.keys(body).find((name) => name !== key)
  if (other !== undefined) {
    throw new MatrixError('M_MISSING_PARAM', 400, `The body must hold ${key} alone, not ${other}`)
  }
  await changeField(c, key, checkedValue(key, value))
  return c.json({})
}

// Unlike elsewhere, a body that is no JSON is M_BAD_JSON.
async function fieldBody(c: AppContext): Promise<JsonObject> {
  try {
    return await jsonObject(c)
  } catch (error) {
    if (!isMatrixError(error) || error.errcode !== 'M_NOT_JSON') throw error
    throw new MatrixError('M_BAD_JSON', 400, error.message)
  }
}

async function deleteProfileField(c: AppContext): Promise<Response> {
  await changeField(c, ownKeyParam(c), undefined)
  return c.json({})
}

async function changeField(c: AppContext, key: string, value: JsonValue | undefined): Promise<void> {
  const { userId, shard } = c.var.session
  await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
  await changeProfile(c.env, { userId, shard }, key, value)
}

async function profileOf(c: AppContext): Promise<JsonObject> {
  const userId = userParam(c)
  if (!isLocal(c.env, userId)) {
    // Open to anyone, but each makes a request to another server: those who have no account get few of them.
    const session = await optionalSession(c)
    if (!session || session.guest) await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
    return await queryProfile(c.env, userId)
  }
  // Clients look at the profile before they invite somebody, whom an application service makes then.
  const find = () => findProfile(c.env, userId)
  const profile = await findOrAskForUser(c.env, userId, () => askerOf(c), find)
  if (!profile) throw new MatrixError('M_NOT_FOUND', 404, 'No such profile')
  return profile
}

function ownKeyParam(c: AppContext): string {
  const { session } = c.var
  if (c.req.param('userId') !== session.userId) {
    throw new MatrixError('M_FORBIDDEN', 403, 'The profiles of other users cannot be changed')
  }
  const key = keyParam(c)
  // Guests may change their display name alone.
  if (session.guest && key !== 'displayname') {
    throw new MatrixError('M_GUEST_ACCESS_FORBIDDEN', 403, 'Guests can only change their display name')
  }
  refuseSuspended(session)
  return key
}

function userParam(c: AppContext): UserId {
  const userId = parseUserId(c.req.param('userId') ?? '')
  if (userId === undefined)
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter userId: not a user id')
  return userId
}

function keyParam(c: AppContext): string {
  const key = c.req.param('keyName') ?? ''
  if (Buffer.byteLength(key) > longestKey) {
    throw new MatrixError('M_KEY_TOO_LARGE', 400, `A profile key has at most ${longestKey} bytes`)
  }
  if (!keyGrammar.test(key)) throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter keyName')
  return key
}
