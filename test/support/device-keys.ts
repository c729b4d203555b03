// Keys as clients make them: of devices, for one session, and for cross-signing.

import { randomBytes } from 'node:crypto'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { signingKeyFromSeed, signJson, type SigningKey } from '../../src/matrix/signing.ts'

export interface TestDevice {
  readonly userId: string
  readonly deviceId: string
  readonly signing: SigningKey
  /** As uploaded: signed by the device itself. */
  readonly deviceKeys: JsonObject
}

/** A device with new identity keys. */
export function testDevice({ userId, deviceId }: { userId: string; deviceId: string }): TestDevice {
  const signing = newSigningKey()
  const deviceKeys = signJson(
    {
      user_id: userId,
      device_id: deviceId,
      algorithms: ['m.olm.v1.curve25519-aes-sha2', 'm.megolm.v1.aes-sha2'],
      keys: {
        [`curve25519:${deviceId}`]: encodeBase64(randomBytes(32)),
        [`ed25519:${deviceId}`]: encodeBase64(signing.publicKey),
      },
    },
    userId,
    `ed25519:${deviceId}`,
    signing,
  )
  return { userId, deviceId, signing, deviceKeys }
}

/** One-time keys named `signed_curve25519:<name>`, or others with the fields given. */
export function oneTimeKeys(
  { userId, deviceId, signing }: TestDevice,
  names: readonly string[],
  fields: JsonObject = {},
): JsonObject {
  return Object.fromEntries(
    names.map((name) => {
      const key = { key: encodeBase64(randomBytes(32)), ...fields }
      return [`signed_curve25519:${name}`, signJson(key, userId, `ed25519:${deviceId}`, signing)]
    }),
  )
}

export interface TestSigningKey {
  readonly publicKey: string
  readonly keyId: string
  readonly signing: SigningKey
  readonly object: JsonObject
}

/** A new cross-signing key, signed by a master key where one is given. */
export function signingKey(userId: string, usage: string, master?: TestSigningKey): TestSigningKey {
  const signing = newSigningKey()
  const publicKey = encodeBase64(signing.publicKey)
  const keyId = `ed25519:${publicKey}`
  const object = { user_id: userId, usage: [usage], keys: { [keyId]: publicKey } }
  return {
    publicKey,
    keyId,
    signing,
    object: master ? signJson(object, userId, master.keyId, master.signing) : object,
  }
}

/** A user's three cross-signing keys. */
export function signingKeys(userId: string) {
  const master = signingKey(userId, 'master')
  return {
    master,
    selfSigning: signingKey(userId, 'self_signing', master),
    userSigning: signingKey(userId, 'user_signing', master),
  }
}

/** Their upload. */
export function signingKeysUpload({ master, selfSigning, userSigning }: ReturnType<typeof signingKeys>) {
  return {
    master_key: master.object,
    self_signing_key: selfSigning.object,
    user_signing_key: userSigning.object,
  }
}

function newSigningKey(): SigningKey {
  return signingKeyFromSeed(randomBytes(32))
}
