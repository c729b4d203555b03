// The body of POST /keys/upload, checked. Specification: client-server API, "Uploading keys", "Key algorithms".

import { MatrixError } from '../errors.ts'
import type { NamedKey } from '../hub/one-time-keys.ts'
import { CanonicalJsonError, canonicalJson } from '../matrix/canonical-json.ts'
import { isJsonObject, type JsonObject, type JsonValue, property, stringProperty } from '../matrix/json.ts'

export interface UploadedKeys {
  readonly deviceKeys?: string
  readonly oneTimeKeys: readonly NamedKey[]
  readonly fallbackKeys: readonly NamedKey[]
}

// Device keys go to other servers in EDUs.
const longestDeviceKeys = 32 * 1024
const keyName = /^[a-zA-Z0-9._-]{1,64}:[^\0]{1,255}$/

/** The keys of a device in a body. M_BAD_JSON, M_INVALID_PARAM, M_TOO_LARGE. */
export function uploadedKeys(
  body: JsonObject,
  owner: { readonly userId: string; readonly deviceId: string },
): UploadedKeys {
  const deviceKeys = objectField(body, 'device_keys')
  const fallbackKeys = namedKeys(body, 'fallback_keys')
  const algorithms = fallbackKeys.map(([id]) => id.slice(0, id.indexOf(':')))
  // There can be one fallback key for each algorithm.
  if (new Set(algorithms).size < algorithms.length) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'fallback_keys holds several keys of an algorithm')
  }
  return {
    ...(deviceKeys ? { deviceKeys: checkedDeviceKeys(deviceKeys, owner) } : {}),
    oneTimeKeys: namedKeys(body, 'one_time_keys'),
    fallbackKeys,
  }
}

function objectField(body: JsonObject, name: string): JsonObject | undefined {
  const value = property(body, name) ?? undefined
  if (value === undefined || isJsonObject(value)) return value
  throw badField(name)
}

function checkedDeviceKeys(
  keys: JsonObject,
  { userId, deviceId }: { readonly userId: string; readonly deviceId: string },
): string {
  // They must be those of the user and the device that log in with the token, or of the device that is dehydrated.
  for (const [name, own] of [['user_id', userId] as const, ['device_id', deviceId] as const]) {
    const value = stringProperty(keys, name)
    if (value === undefined) throw badField(`device_keys.${name}`)
    if (value !== own) {
      throw new MatrixError('M_INVALID_PARAM', 400, `device_keys.${name} is not that of the device`)
    }
  }
  const algorithms = property(keys, 'algorithms')
  if (!Array.isArray(algorithms) || !algorithms.every((name) => typeof name === 'string')) {
    throw badField('device_keys.algorithms')
  }
  const identity = property(keys, 'keys')
  // Named `<algorithm>:<device_id>`.
  const isNamed = ([name, key]: [string, JsonValue]) =>
    typeof key === 'string' && name.slice(name.indexOf(':') + 1) === deviceId && keyName.test(name)
  if (!isJsonObject(identity) || !Object.entries(identity).every(isNamed)) throw badField('device_keys.keys')
  if (!areSignatures(property(keys, 'signatures'))) throw badField('device_keys.signatures')
  // What `unsigned` says is for servers to say.
  const text = canonical(keys, 'device_keys', ['unsigned'])
  if (text.length > longestDeviceKeys) throw new MatrixError('M_TOO_LARGE', 413, 'device_keys is too large')
  return text
}

function namedKeys(body: JsonObject, name: string): NamedKey[] {
  return Object.entries(objectField(body, name) ?? {}).map(([id, key]) => {
    if (!keyName.test(id) || !isKey(id, key)) throw badField(`${name}.${id.slice(0, 100)}`)
    return [id, canonical(key, name)]
  })
}

function isKey(id: string, key: JsonValue): boolean {
  if (!isJsonObject(key)) return typeof key === 'string' && !id.startsWith('signed_')
  return stringProperty(key, 'key') !== undefined && areSignatures(property(key, 'signatures'))
}

function areSignatures(value: JsonValue | undefined): boolean {
  if (!isJsonObject(value)) return false
  return Object.values(value).every(
    (ofUser) => isJsonObject(ofUser) && Object.values(ofUser).every((text) => typeof text === 'string'),
  )
}

function canonical(value: JsonValue, name: string, omit: readonly string[] = []): string {
  try {
    return canonicalJson(value, { strict: false, omit })
  } catch (error) {
    if (error instanceof CanonicalJsonError) throw badField(`${name}: ${error.message}`)
    throw error
  }
}

function badField(name: string): MatrixError {
  return new MatrixError('M_BAD_JSON', 400, `Invalid field ${name}`)
}
