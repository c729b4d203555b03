// Ed25519 signatures on JSON objects. Appendices, "Signing JSON" and "Checking for a Signature".
// node:crypto because it signs and verifies synchronously, also on Workers.

import type { KeyObject } from 'node:crypto'
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { decodeBase64, encodeBase64 } from './base64.ts'
import { boundedMemo } from './bounded-memo.ts'
import { CanonicalJsonError, canonicalJson } from './canonical-json.ts'
import type { JsonObject } from './json.ts'
import { objectProperty, stringProperty } from './json.ts'

/** A private key ready for use. It does not give its seed away. */
export interface SigningKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  /** The signature of some bytes: 64 bytes. */
  readonly sign: (message: Uint8Array) => Uint8Array
}

/** A public key ready for use. */
export interface VerifyKey {
  /** Whether a signature is this key's for some bytes. Never throws. */
  readonly verify: (message: Uint8Array, signature: Uint8Array) => boolean
}

export interface SigningOptions {
  /** Whether the object must be strict canonical JSON, as events are from room version 6 on. Not strict if left out. */
  readonly strict: boolean
}

const keyBytes = 32
const signatureBytes = 64
// What precedes the 32 key bytes in DER: RFC 8410, PKCS #8 and SubjectPublicKeyInfo for id-Ed25519.
const privateKeyPrefix = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20)
const publicKeyPrefix = Uint8Array.of(0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0)
const unsignedParts = ['signatures', 'unsigned']
const utf8 = new TextEncoder()
// Reading a key takes about as long as a verification, and a room's events come from few servers.
const verifyKeyOf = boundedMemo(1000, readVerifyKey)

/** The signing key of a 32-byte seed. Throws RangeError for a seed of another length. */
export function signingKeyFromSeed(seed: Uint8Array): SigningKey {
  if (seed.length !== keyBytes) throw new RangeError('an Ed25519 seed is 32 bytes')
  const privateKey = createPrivateKey({
    key: Buffer.concat([privateKeyPrefix, seed]),
    format: 'der',
    type: 'pkcs8',
  })
  const der = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return {
    publicKey: new Uint8Array(der.subarray(publicKeyPrefix.length)),
    sign: (message) => new Uint8Array(sign(null, message, privateKey)),
  }
}

/** The verify key of 32 public bytes, undefined for another length. Bytes that are no key verify nothing. */
export function verifyKeyFromBytes(publicKey: Uint8Array): VerifyKey | undefined {
  return publicKey.length === keyBytes ? verifyKeyOf(encodeBase64(publicKey)) : undefined
}

/**
 * A copy of an object with our signature added to those it has. Covers everything but `signatures` and `unsigned`.
 * `keyId` is the whole identifier, `ed25519:…`. Throws CanonicalJsonError for an object without canonical JSON.
 */
export function signJson(
  object: JsonObject,
  serverName: string,
  keyId: string,
  key: SigningKey,
  options: SigningOptions = { strict: false },
): JsonObject {
  return withSignature(object, serverName, keyId, encodeBase64(key.sign(signedBytes(object, options))))
}

/**
 * Whether an entity (a server name or user id) signed an object with this key. False, never an exception, also for a
 * malformed key, a malformed signature, another algorithm than Ed25519 and an object without canonical JSON.
 */
export function verifyJson(
  object: JsonObject,
  serverName: string,
  keyId: string,
  publicKey: Uint8Array,
  options: SigningOptions = { strict: false },
): boolean {
  const signature = stringProperty(objectProperty(objectProperty(object, 'signatures'), serverName), keyId)
  if (signature === undefined || !isEd25519KeyId(keyId)) return false
  const message = signedBytesOrUndefined(object, options)
  return message !== undefined && verifySignature(message, signature, publicKey)
}

/** Whether a base64 signature over some bytes is that of a public key. Never throws. */
export function verifySignature(message: Uint8Array, signature: string, publicKey: Uint8Array): boolean {
  const bytes = decodeBase64(signature)
  return bytes !== undefined && verifyKeyFromBytes(publicKey)?.verify(message, bytes) === true
}

/** Whether a signing key identifier is of the one algorithm understood. */
export function isEd25519KeyId(keyId: string): boolean {
  return keyId.startsWith('ed25519:')
}

/** What a signature of an object covers. Throws CanonicalJsonError for an object without canonical JSON. */
export function signedBytes(object: JsonObject, options: SigningOptions): Uint8Array {
  return utf8.encode(canonicalJson(object, { strict: options.strict, omit: unsignedParts }))
}

/** A copy of an object with a base64 signature added. */
export function withSignature(
  object: JsonObject,
  serverName: string,
  keyId: string,
  signature: string,
): JsonObject {
  const signatures = objectProperty(object, 'signatures')
  const ofServer = { ...objectProperty(signatures, serverName), [keyId]: signature }
  return { ...object, signatures: { ...signatures, [serverName]: ofServer } }
}

function signedBytesOrUndefined(object: JsonObject, options: SigningOptions): Uint8Array | undefined {
  try {
    return signedBytes(object, options)
  } catch (error) {
    if (error instanceof CanonicalJsonError) return undefined
    throw error
  }
}

function readVerifyKey(base64: string): VerifyKey {
  const key = publicKeyObject(decodeBase64(base64) ?? new Uint8Array())
  return { verify: (message, signature) => key !== undefined && isSignatureOf(key, message, signature) }
}

function publicKeyObject(publicKey: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.concat([publicKeyPrefix, publicKey]), format: 'der', type: 'spki' })
  } catch {
    // Bytes that are no point of the curve: some runtimes notice here, others when verifying.
    return undefined
  }
}

function isSignatureOf(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== signatureBytes) return false
  try {
    return verify(null, message, key, signature)
  } catch {
    return false
  }
}
