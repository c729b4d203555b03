// EDUs by which other servers tell of keys and devices of their users.
// Specification: server-server API, "Device Management", "End-to-End Encryption".

import { config } from '../../config.ts'
import { type Env, hubStub } from '../../env.ts'
import type { Hub } from '../../hub/hub.ts'
import type { ServerName, UserId } from '../../matrix/event.ts'
import { parseUserId, serverNameOf } from '../../matrix/identifiers.ts'
import { type JsonObject, objectProperty, property, stringProperty } from '../../matrix/json.ts'

/** A device was added, changed or deleted. */
export async function receiveDeviceListUpdate(
  env: Env,
  origin: ServerName,
  content: JsonObject,
): Promise<void> {
  const userId = userOf(origin, content)
  const deviceId = stringProperty(content, 'device_id')
  const streamId = property(content, 'stream_id')
  if (!userId || deviceId === undefined || typeof streamId !== 'number') return
  const before = property(content, 'prev_id')
  const keys = objectProperty(content, 'keys')
  const displayName = stringProperty(content, 'device_display_name')
  const update = {
    userId,
    deviceId,
    streamId,
    before: Array.isArray(before) ? before.filter((id) => typeof id === 'number') : [],
    deleted: property(content, 'deleted') === true,
    ...(keys ? { keys } : {}),
    ...(displayName === undefined ? {} : { displayName }),
  }
  await eachHub(env, (hub) => hub.applyDeviceListUpdate(update))
}

/** The cross-signing keys of a user changed. */
export async function receiveSigningKeyUpdate(
  env: Env,
  origin: ServerName,
  content: JsonObject,
): Promise<void> {
  const userId = userOf(origin, content)
  if (!userId) return
  const master = objectProperty(content, 'master_key')
  const selfSigning = objectProperty(content, 'self_signing_key')
  const update = { userId, ...(master ? { master } : {}), ...(selfSigning ? { selfSigning } : {}) }
  await eachHub(env, (hub) => hub.applySigningKeyUpdate(update))
}

/** The user that an EDU is about, who must be of its origin. */
function userOf(origin: ServerName, content: JsonObject): UserId | undefined {
  const userId = parseUserId(stringProperty(content, 'user_id') ?? '')
  return userId && serverNameOf(userId) === origin ? userId : undefined
}

// Each shard keeps what its own users need.
async function eachHub(env: Env, tell: (hub: DurableObjectStub<Hub>) => Promise<void>): Promise<void> {
  const { hubShards } = config(env)
  await Promise.all(Array.from({ length: hubShards }, (_, shard) => tell(hubStub(env, shard))))
}
