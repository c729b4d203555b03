// Specification: client-server API, "Server-side key backups".

import * as v from 'valibot'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody, queryParams } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import type {
  BackedUpKey,
  KeyBackupVersion,
  KeyBackupWrite,
  KeySelection,
  PlacedKey,
} from '../hub/key-backup.ts'
import { isJsonObject } from '../matrix/json.ts'
import { roomParam } from './own-user.ts'

const jsonObjectSchema = v.custom<Record<string, unknown>>(isJsonObject, 'an object is expected')

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const keySchema = v.object({
  first_message_index: count,
  forwarded_count: count,
  is_verified: v.boolean(),
  session_data: jsonObjectSchema,
})
const sessionsSchema = v.object({ sessions: v.record(v.string(), keySchema) })
const roomsSchema = v.object({ rooms: v.record(v.string(), sessionsSchema) })

const longestSessionId = 255

/** /room_keys/version and /room_keys/keys. */
export function keyBackupRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3room_keysversion
  app.post('/_matrix/client/v3/room_keys/version', requireSession(), async (c) => {
    const body = await jsonBody(c, v.object({ algorithm: v.string(), auth_data: jsonObjectSchema }))
    const created = { algorithm: body.algorithm, authData: JSON.stringify(body.auth_data) }
    return c.json({ version: await hub(c).createKeyBackup(c.var.session.userId, created) })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keysversion
  app.get('/_matrix/client/v3/room_keys/version', requireSession(), async (c) => {
    const backup = await hub(c).getKeyBackup(c.var.session.userId)
    if (!backup) throw notFound('No current backup version')
    return versionAnswer(c, backup)
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keysversionversion
  app.get('/_matrix/client/v3/room_keys/version/:version', requireSession(), async (c) =>
    versionAnswer(c, await requireBackup(c)),
  )

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keysversionversion
  app.put('/_matrix/client/v3/room_keys/version/:version', requireSession(), (c) => updateVersion(c))

  // https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keysversionversion
  app.delete('/_matrix/client/v3/room_keys/version/:version', requireSession(), async (c) => {
    const known = await hub(c).deleteKeyBackup(c.var.session.userId, c.req.param('version'))
    if (!known) throw notFound('Unknown backup version')
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3room_keyskeys
  app.put('/_matrix/client/v3/room_keys/keys', requireSession(), async (c) => {
    const { rooms } = await jsonBody(c, roomsSchema)
    return await putKeys(
      c,
      Object.entries(rooms).flatMap(([roomId, room]) => sessionsIn(roomId, room)),
    )
  })
  app.put('/_matrix/client/v3/room_keys/keys/:roomId', requireSession(), async (c) =>
    putKeys(c, sessionsIn(roomParam(c), await jsonBody(c, sessionsSchema))),
  )
  app.put('/_matrix/client/v3/room_keys/keys/:roomId/:sessionId', requireSession(), async (c) => {
    const key = await jsonBody(c, keySchema)
    return await putKeys(c, sessionsIn(roomParam(c), { sessions: { [c.req.param('sessionId')]: key } }))
  })

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3room_keyskeys
  app.get('/_matrix/client/v3/room_keys/keys', requireSession(), (c) => getKeys(c))
  app.get('/_matrix/client/v3/room_keys/keys/:roomId', requireSession(), (c) => getKeys(c, roomParam(c)))
  app.get('/_matrix/client/v3/room_keys/keys/:roomId/:sessionId', requireSession(), (c) => getKey(c))

  // https://spec.matrix.org/v1.19/client-server-api/#delete_matrixclientv3room_keyskeys
  app.delete('/_matrix/client/v3/room_keys/keys', requireSession(), (c) => deleteKeys(c, {}))
  app.delete('/_matrix/client/v3/room_keys/keys/:roomId', requireSession(), (c) =>
    deleteKeys(c, { roomId: roomParam(c) }),
  )
  app.delete('/_matrix/client/v3/room_keys/keys/:roomId/:sessionId', requireSession(), (c) =>
    deleteKeys(c, { roomId: roomParam(c), sessionId: c.req.param('sessionId') }),
  )
}

function hub(c: AppContext) {
  return hubStub(c.env, c.var.session.shard)
}

function notFound(message: string): MatrixError {
  return new MatrixError('M_NOT_FOUND', 404, message)
}

async function requireBackup(c: AppContext): Promise<KeyBackupVersion> {
  const backup = await hub(c).getKeyBackup(c.var.session.userId, c.req.param('version'))
  if (!backup) throw notFound('Unknown backup version')
  return backup
}

function versionAnswer(c: AppContext, { version, algorithm, authData, etag, count }: KeyBackupVersion) {
  const auth_data: unknown = JSON.parse(authData)
  return c.body(JSON.stringify({ version, algorithm, auth_data, etag, count }), 200, {
    'Content-Type': 'application/json',
  })
}

async function updateVersion(c: AppContext): Promise<Response> {
  const schema = v.object({
    algorithm: v.string(),
    auth_data: jsonObjectSchema,
    version: v.optional(v.string()),
  })
  const body = await jsonBody(c, schema)
  const { version, algorithm } = await requireBackup(c)
  if (body.version !== undefined && body.version !== version) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid field version: not that of the path')
  }
  if (body.algorithm !== algorithm) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid field algorithm: not that of the backup')
  }
  await hub(c).updateKeyBackup(c.var.session.userId, version, JSON.stringify(body.auth_data))
  return c.json({})
}

function versionParam(c: AppContext): string {
  return queryParams(c, v.object({ version: v.string() })).version
}

function sessionsIn(roomId: string, { sessions }: v.InferOutput<typeof sessionsSchema>): PlacedKey[] {
  return Object.entries(sessions).map(([sessionId, key]) => {
    if (sessionId.length > longestSessionId) {
      throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid field sessions: a session id is too long')
    }
    return { roomId, sessionId, ...backedUpKey(key) }
  })
}

function backedUpKey(key: v.InferOutput<typeof keySchema>): BackedUpKey {
  return {
    firstMessageIndex: key.first_message_index,
    forwardedCount: key.forwarded_count,
    isVerified: key.is_verified,
    sessionData: JSON.stringify(key.session_data),
  }
}

async function putKeys(c: AppContext, keys: readonly PlacedKey[]): Promise<Response> {
  return writeAnswer(c, await hub(c).putBackedUpKeys(c.var.session.userId, versionParam(c), keys))
}

async function deleteKeys(c: AppContext, selection: KeySelection): Promise<Response> {
  return writeAnswer(c, await hub(c).deleteBackedUpKeys(c.var.session.userId, versionParam(c), selection))
}

function writeAnswer(c: AppContext, write: KeyBackupWrite): Response {
  if (!('refused' in write)) return c.json({ etag: write.etag, count: write.count })
  if (write.refused === 'unknown') throw notFound('Unknown backup version')
  throw new MatrixError('M_WRONG_ROOM_KEYS_VERSION', 403, 'Wrong backup version', {
    current_version: write.current,
  })
}

async function getKeys(c: AppContext, roomId?: string): Promise<Response> {
  const keys = await hub(c).streamBackedUpKeys(c.var.session.userId, versionParam(c), roomId)
  if (!keys) throw notFound('Unknown backup version')
  return c.body(keys, 200, { 'Content-Type': 'application/json' })
}

async function getKey(c: AppContext): Promise<Response> {
  const place = { roomId: roomParam(c), sessionId: c.req.param('sessionId') ?? '' }
  const key = await hub(c).getBackedUpKey(c.var.session.userId, versionParam(c), place)
  if (key === undefined) throw notFound('Key not found')
  return c.body(key, 200, { 'Content-Type': 'application/json' })
}
