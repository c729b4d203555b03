// Asking other servers for the keys of their users. What they say about others, or of another form, is left out.
// Specification: server-server API, "End-to-End Encryption", "Device Management".

import type { Env } from '../../env.ts'
import { ownSignatures, withSignatures } from '../../hub/key-signatures.ts'
import type { ClaimedKey, KeyClaim } from '../../hub/one-time-keys.ts'
import type { KeyQuery } from '../../hub/query-keys.ts'
import { isKeyOf, signingKeys } from '../../hub/remote-keys.ts'
import type { UserKeys } from '../../hub/user-keys.ts'
import { MatrixError } from '../../errors.ts'
import type { ServerName, UserId } from '../../matrix/event.ts'
import { serverNameOf } from '../../matrix/identifiers.ts'
import { isJsonObject, type JsonObject, objectProperty, property, stringProperty } from '../../matrix/json.ts'
import { federationRequest } from './request.ts'

const api = '/_matrix/federation/v1/user'

/** A user's whole device list with its number; undefined where the server does not give it. 502 and 504. */
export async function fetchDeviceList(
  env: Env,
  userId: UserId,
  timeoutMs: number,
): Promise<{ readonly keys: UserKeys; readonly streamId?: number } | undefined> {
  const { status, body } = await federationRequest(env, {
    destination: serverNameOf(userId),
    method: 'GET',
    path: `${api}/devices/${encodeURIComponent(userId)}`,
    timeoutMs,
  })
  const devices = property(body, 'devices')
  if (status !== 200 || !Array.isArray(devices) || stringProperty(body, 'user_id') !== userId)
    return undefined
  const entries = devices.flatMap((device) => {
    const keys = isJsonObject(device) ? objectProperty(device, 'keys') : undefined
    const id = isJsonObject(device) ? stringProperty(device, 'device_id') : undefined
    if (!keys || id === undefined || !isKeyOf(keys, userId, id)) return []
    const name = isJsonObject(device) ? stringProperty(device, 'device_display_name') : undefined
    return [[id, shownDevice(keys, userId, name)] as const]
  })
  const streamId = property(body, 'stream_id')
  const master = property(body, 'master_key')
  const selfSigning = property(body, 'self_signing_key')
  return {
    keys: { devices: Object.fromEntries(entries), ...shownSigningKeys(userId, { master, selfSigning }) },
    ...(typeof streamId === 'number' ? { streamId } : {}),
  }
}

/** Keys of users of one server, by user id; users that it does not know are left out. 502 and 504. */
export async function fetchKeys(
  env: Env,
  destination: ServerName,
  queries: readonly KeyQuery[],
  timeoutMs: number,
): Promise<Map<UserId, UserKeys>> {
  const asked: JsonObject = Object.fromEntries(
    queries.map(({ userId, deviceIds }) => [userId, [...deviceIds]]),
  )
  const body = await post(env, destination, 'keys/query', { device_keys: asked }, timeoutMs)
  const found = queries.flatMap(({ userId }) => {
    const devices = objectProperty(objectProperty(body, 'device_keys'), userId)
    const master = property(objectProperty(body, 'master_keys'), userId)
    const selfSigning = property(objectProperty(body, 'self_signing_keys'), userId)
    if (!devices && master === undefined) return []
    const entries = Object.entries(devices ?? {}).flatMap(([id, keys]) =>
      isJsonObject(keys) && isKeyOf(keys, userId, id)
        ? [[id, shownDevice(keys, userId, displayName(keys))] as const]
        : [],
    )
    const keys = {
      devices: Object.fromEntries(entries),
      ...shownSigningKeys(userId, { master, selfSigning }),
    }
    return [[userId, keys] as const]
  })
  return new Map(found)
}

/** Claims keys of users of one server. 502 and 504. */
export async function fetchClaimedKeys(
  env: Env,
  destination: ServerName,
  claims: readonly KeyClaim[],
  timeoutMs: number,
): Promise<ClaimedKey[]> {
  const byUser = Map.groupBy(claims, ({ userId }) => userId)
  const asked = [...byUser].map(([userId, ofUser]) => {
    const devices = ofUser.map(({ deviceId, algorithm }) => [deviceId, algorithm] as const)
    return [userId, Object.fromEntries(devices)] as const
  })
  const content = { one_time_keys: Object.fromEntries(asked) }
  const body = await post(env, destination, 'keys/claim', content, timeoutMs)
  return claims.flatMap((claim) => {
    const ofUser = objectProperty(objectProperty(body, 'one_time_keys'), claim.userId)
    const entries = Object.entries(objectProperty(ofUser, claim.deviceId) ?? {})
    const found = entries.find(([keyId]) => keyId.startsWith(`${claim.algorithm}:`))
    return found ? [{ ...claim, keyId: found[0], key: JSON.stringify(found[1]) }] : []
  })
}

async function post(
  env: Env,
  destination: ServerName,
  path: string,
  content: JsonObject,
  timeoutMs: number,
): Promise<JsonObject> {
  const call = { destination, method: 'POST' as const, path: `${api}/${path}`, content, timeoutMs }
  const { status, body } = await federationRequest(env, call)
  if (status === 200) return body
  throw new MatrixError('M_UNKNOWN', 502, `${destination} answered ${status}`)
}

function shownDevice(keys: JsonObject, userId: UserId, name: string | undefined): JsonObject {
  return {
    ...withSignatures(keys, userId, ownSignatures(keys, userId)),
    unsigned: name === undefined ? {} : { device_display_name: name },
  }
}

function displayName(keys: JsonObject): string | undefined {
  return stringProperty(objectProperty(keys, 'unsigned'), 'device_display_name')
}

function shownSigningKeys(userId: UserId, given: Parameters<typeof signingKeys>[1]) {
  const { master, selfSigning } = signingKeys(userId, given)
  const shown = (key: JsonObject) => withSignatures(key, userId, ownSignatures(key, userId))
  return {
    ...(master ? { master: shown(master) } : {}),
    ...(selfSigning ? { selfSigning: shown(selfSigning) } : {}),
  }
}
