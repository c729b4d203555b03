// Cross-signing keys, as users upload them and as other servers tell them. Specification: client-server API, "Cross-signing".

import { decodeBase64 } from './base64.ts'
import type { UserId } from './event.ts'
import { isJsonObject, type JsonObject, objectProperty, property, stringProperty } from './json.ts'

export type KeyUsage = 'master' | 'self_signing' | 'user_signing'

export interface CrossSigningKey {
  /** As it was given. */
  readonly object: JsonObject
  /** `ed25519:` and the public key. */
  readonly keyId: string
  /** Unpadded base64. */
  readonly publicKey: string
  /** 32 bytes. */
  readonly bytes: Uint8Array
}

/** A cross-signing key of a user for a usage, or what is wrong with it. */
export function parseCrossSigningKey(
  value: unknown,
  userId: UserId,
  usage: KeyUsage,
): CrossSigningKey | { readonly fault: string } {
  if (!isJsonObject(value)) return { fault: 'not an object' }
  if (stringProperty(value, 'user_id') !== userId) return { fault: 'user_id is not the user' }
  const usages = property(value, 'usage')
  if (!Array.isArray(usages) || !usages.includes(usage)) return { fault: `usage is not ${usage}` }
  // The object of keys has exactly one property, named after the public key.
  const [entry, ...more] = Object.entries(objectProperty(value, 'keys') ?? {})
  const [keyId, publicKey] = entry ?? []
  if (keyId === undefined || typeof publicKey !== 'string' || more.length > 0) {
    return { fault: 'keys does not hold one key' }
  }
  const bytes = decodeBase64(publicKey)
  if (keyId !== `ed25519:${publicKey}` || bytes?.length !== 32) return { fault: 'keys holds no ed25519 key' }
  return { object: value, keyId, publicKey, bytes }
}

/** The same of a key that is known to be one: stored by this server, or checked when it came in. */
export function crossSigningKey(value: JsonObject, userId: UserId, usage: KeyUsage): CrossSigningKey {
  const key = parseCrossSigningKey(value, userId, usage)
  if ('fault' in key) throw new Error(`a stored ${usage} key is none: ${key.fault}`)
  return key
}
