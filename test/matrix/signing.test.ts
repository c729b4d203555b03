import * as fc from 'fast-check'
import nacl from 'tweetnacl'
import { describe, expect, test } from 'vitest'
import { decodeBase64, encodeBase64 } from '../../src/matrix/base64.ts'
import { canonicalJson } from '../../src/matrix/canonical-json.ts'
import { objectProperty, stringProperty } from '../../src/matrix/json.ts'
import {
  signJson,
  signingKeyFromSeed,
  verifyJson,
  verifyKeyFromBytes,
  verifySignature,
} from '../../src/matrix/signing.ts'
import { canonicalObject } from './arbitrary.ts'
import { asObject, asObjects, asText, specObject } from './spec-vectors.ts'

const seed = new Uint8Array(32).fill(7)
const key = signingKeyFromSeed(seed)
const keyId = 'ed25519:1'

function signatureOf(object: Parameters<typeof signJson>[0], server: string): string {
  return stringProperty(objectProperty(objectProperty(object, 'signatures'), server), keyId) ?? 'no signature'
}

describe('signing JSON', () => {
  const vectors = specObject('vectors/signing.json')
  const vectorKey = signingKeyFromSeed(
    decodeBase64(asText(vectors['signing_key_seed_base64'])) ?? new Uint8Array(),
  )
  const jsonVectors = asObjects(vectors['vectors']).filter((vector) => vector['kind'] === 'json')

  test('the specification has two vectors', () => expect(jsonVectors).toHaveLength(2))

  test.each(jsonVectors)('is as specified for $name', ({ input, expected }) => {
    const server = asText(vectors['server_name'])
    const signed = signJson(asObject(input), server, asText(vectors['key_id']), vectorKey)
    expect(signed).toEqual(expected)
    expect(verifyJson(signed, server, asText(vectors['key_id']), vectorKey.publicKey)).toBe(true)
  })

  test('makes the public keys and signatures that tweetnacl makes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uint8Array({ maxLength: 80 }),
        (anySeed, message) => {
          const oracle = nacl.sign.keyPair.fromSeed(anySeed)
          const signingKey = signingKeyFromSeed(anySeed)
          expect(signingKey.publicKey).toEqual(oracle.publicKey)
          expect(signingKey.sign(message)).toEqual(nacl.sign.detached(message, oracle.secretKey))
        },
      ),
      { numRuns: 15 },
    )
  })

  test('verifies what it signed, also by tweetnacl', () => {
    fc.assert(
      fc.property(canonicalObject, (object) => {
        const signed = signJson(object, 'a.b', keyId, key)
        expect(verifyJson(signed, 'a.b', keyId, key.publicKey)).toBe(true)
        const text = canonicalJson(object, { strict: true, omit: ['signatures', 'unsigned'] })
        const signature = decodeBase64(signatureOf(signed, 'a.b')) ?? new Uint8Array()
        expect(nacl.sign.detached.verify(new TextEncoder().encode(text), signature, key.publicKey)).toBe(true)
      }),
      { numRuns: 15 },
    )
  })

  test('does not verify after a flipped bit in the message, the signature or the key', () => {
    const flip = (bytes: Uint8Array, bit: number): Uint8Array => {
      const at = Math.floor(bit / 8) % bytes.length
      return bytes.map((byte, index) => (index === at ? byte ^ (1 << (bit % 8)) : byte))
    }
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), fc.nat(100_000), (message, bit) => {
        const signature = key.sign(message)
        const verifies = (m: Uint8Array, s: Uint8Array, k: Uint8Array): boolean =>
          verifySignature(m, encodeBase64(s), k)
        expect(verifies(message, signature, key.publicKey)).toBe(true)
        expect(verifies(flip(message, bit), signature, key.publicKey)).toBe(false)
        expect(verifies(message, flip(signature, bit), key.publicKey)).toBe(false)
        expect(verifies(message, signature, flip(key.publicKey, bit))).toBe(false)
      }),
    )
  })

  test('covers neither unsigned nor the signatures of others', () => {
    const signed = signJson({ a: 1, unsigned: { age: 1 } }, 'a.b', keyId, key)
    const passedOn = signJson({ ...signed, unsigned: { age: 2 } }, 'c.d', keyId, key)
    expect(Object.keys(objectProperty(passedOn, 'signatures') ?? {})).toEqual(['a.b', 'c.d'])
    expect(verifyJson(passedOn, 'a.b', keyId, key.publicKey)).toBe(true)
    expect(verifyJson({ ...passedOn, a: 2 }, 'a.b', keyId, key.publicKey)).toBe(false)
    expect(verifyJson({ ...passedOn, b: 2 }, 'a.b', keyId, key.publicKey)).toBe(false)
  })

  test('keeps the signatures of other keys of the same server', () => {
    const twice = signJson(signJson({}, 'a.b', 'ed25519:0', key), 'a.b', keyId, key)
    expect(Object.keys(asObject(objectProperty(twice, 'signatures')?.['a.b']))).toEqual(['ed25519:0', keyId])
  })

  test('does not change the object it is given', () => {
    const object = { a: 1, signatures: { 'a.b': {} } }
    signJson(object, 'a.b', keyId, key)
    expect(object).toEqual({ a: 1, signatures: { 'a.b': {} } })
  })

  test('refuses without throwing whatever is malformed', () => {
    const signed = signJson({ a: 1 }, 'a.b', keyId, key)
    const verifies = (object: Parameters<typeof verifyJson>[0], publicKey = key.publicKey): boolean =>
      verifyJson(object, 'a.b', keyId, publicKey)
    expect(verifies(signed)).toBe(true)
    expect(verifyJson(signed, 'c.d', keyId, key.publicKey)).toBe(false)
    expect(verifyJson(signed, 'a.b', 'ed25519:2', key.publicKey)).toBe(false)
    for (const name of ['__proto__', 'constructor', 'toString'])
      expect(verifyJson(signed, name, name, key.publicKey)).toBe(false)
    for (const signatures of [
      null,
      1,
      'x',
      [],
      {},
      { 'a.b': null },
      { 'a.b': [] },
      { 'a.b': { [keyId]: 1 } },
    ])
      expect(verifies({ a: 1, signatures })).toBe(false)
    const good = signatureOf(signed, 'a.b')
    for (const bad of [
      '',
      'A',
      '*',
      good.slice(4),
      `${good}AAAA`,
      `${good}=`,
      good.replace(/^./, '-'),
      'A'.repeat(86),
    ])
      expect(verifies({ a: 1, signatures: { 'a.b': { [keyId]: bad } } })).toBe(false)
    for (const bad of [
      new Uint8Array(),
      new Uint8Array(31),
      new Uint8Array(33),
      new Uint8Array(32).fill(255),
    ])
      expect(verifies(signed, bad)).toBe(false)
    expect(verifies({ ...signed, a: NaN })).toBe(false)
    expect(verifies({ ...signed, a: '\ud800' })).toBe(false)
  })

  test('knows no algorithm but Ed25519', () => {
    const signed = signJson({ a: 1 }, 'a.b', 'curve25519:1', key)
    expect(verifyJson(signed, 'a.b', 'curve25519:1', key.publicKey)).toBe(false)
  })

  test('refuses floats where strictness is asked for', () => {
    const signed = signJson({ a: 1.5 }, 'a.b', keyId, key)
    expect(verifyJson(signed, 'a.b', keyId, key.publicKey)).toBe(true)
    expect(verifyJson(signed, 'a.b', keyId, key.publicKey, { strict: true })).toBe(false)
    expect(() => signJson({ a: 1.5 }, 'a.b', keyId, key, { strict: true })).toThrow('a: not an integer')
  })

  test('refuses a seed or public key of the wrong length', () => {
    expect(() => signingKeyFromSeed(new Uint8Array(31))).toThrow(RangeError)
    expect(verifyKeyFromBytes(new Uint8Array(31))).toBeUndefined()
    expect(verifyKeyFromBytes(key.publicKey)?.verify(new Uint8Array(3), new Uint8Array(63))).toBe(false)
  })
})
