// What a server publishes about its signing keys, checked. Server-server API, "Publishing Keys".

import { decodeBase64 } from '../../matrix/base64.ts'
import type { ServerName } from '../../matrix/event.ts'
import { isJsonObject, type JsonObject, objectProperty, property, stringProperty } from '../../matrix/json.ts'
import { verifyJson } from '../../matrix/signing.ts'

/** A key as its server tells of it. */
export interface PublishedKey {
  readonly keyId: string
  /** 32 bytes. */
  readonly key: Uint8Array
  /** Until when (ms) it may sign. */
  readonly validUntilTs: number
  /** Whether the server has stopped using it: then it signs events alone, and only those made before that. */
  readonly old: boolean
}

const longestValidityMs = 7 * 24 * 60 * 60 * 1000
const keyIdShape = /^ed25519:[!-~]{1,100}$/
const keyBytes = 32
// A server that changes its key each week has this many in two years.
const mostKeys = 100

/**
 * The Ed25519 keys that an answer tells of, undefined if it is malformed, about another server, or not signed with a key
 * that it says is in use. `now` is when it was fetched (ms).
 */
export function checkKeyAnswer(
  answer: unknown,
  serverName: ServerName,
  now: number,
): PublishedKey[] | undefined {
  if (!isJsonObject(answer) || property(answer, 'server_name') !== serverName) return undefined
  const validUntilTs = timestamp(answer, 'valid_until_ts')
  if (validUntilTs === undefined) return undefined
  const old = oldKeys(answer, now)
  const retired = new Set(old.map(({ keyId }) => keyId))
  // The lesser of what the server says and 7 days, so that a stolen key cannot be made to last.
  const until = Math.min(validUntilTs, now + longestValidityMs)
  const inUse = keyEntries(answer, 'verify_keys')
    .filter(({ keyId }) => !retired.has(keyId))
    .map(({ keyId, key }) => ({ keyId, key, validUntilTs: until, old: false }))
  const keys = [...inUse, ...old]
  return keys.length <= mostKeys && isSignedByOneOf(answer, serverName, inUse) ? keys : undefined
}

/** At least one key in use has signed, and none wrongly. */
function isSignedByOneOf(answer: JsonObject, serverName: ServerName, keys: readonly PublishedKey[]): boolean {
  const signatures = objectProperty(objectProperty(answer, 'signatures'), serverName)
  const signing = keys.filter(({ keyId }) => property(signatures, keyId) !== undefined)
  return signing.length > 0 && signing.every(({ keyId, key }) => verifyJson(answer, serverName, keyId, key))
}

function oldKeys(answer: JsonObject, now: number): PublishedKey[] {
  return keyEntries(answer, 'old_verify_keys').flatMap(({ keyId, key, entry }) => {
    const expiredTs = timestamp(entry, 'expired_ts')
    if (expiredTs === undefined) return []
    return [{ keyId, key, validUntilTs: Math.min(expiredTs, now), old: true }]
  })
}

function keyEntries(answer: JsonObject, field: string) {
  return Object.entries(objectProperty(answer, field) ?? {}).flatMap(([keyId, entry]) => {
    const key = isJsonObject(entry) ? decodeBase64(stringProperty(entry, 'key') ?? '') : undefined
    if (!isJsonObject(entry) || key?.length !== keyBytes || !keyIdShape.test(keyId)) return []
    return [{ keyId, key, entry }]
  })
}

function timestamp(object: JsonObject, field: string): number | undefined {
  const value = property(object, field)
  return Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : undefined
}
