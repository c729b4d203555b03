import * as fc from 'fast-check'
import nacl from 'tweetnacl'
import { describe, expect, test } from 'vitest'
import { decodeBase64 } from '../../src/matrix/base64.ts'
import { canonicalJson } from '../../src/matrix/canonical-json.ts'
import { hasValidContentHash } from '../../src/matrix/event-hash.ts'
import type { KeyLookup } from '../../src/matrix/event-signature.ts'
import {
  countersignEvent,
  keysToVerify,
  requiredSigners,
  signEvent,
  verifyEventSignatures,
} from '../../src/matrix/event-signature.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { redact } from '../../src/matrix/redaction.ts'
import type { RoomVersionRules } from '../../src/matrix/room-version.ts'
import { signingKeyFromSeed } from '../../src/matrix/signing.ts'
import { allRules, anyRules, eventLike, rulesOf } from './arbitrary.ts'
import { asObject, asObjects, asText, specObject } from './spec-vectors.ts'

const keyId = 'ed25519:1'
const hour = 3_600_000
const keyOf = {
  home: signingKeyFromSeed(new Uint8Array(32).fill(1)),
  other: signingKeyFromSeed(new Uint8Array(32).fill(2)),
  third: signingKeyFromSeed(new Uint8Array(32).fill(3)),
}
type Server = keyof typeof keyOf

/** Knows the key `ed25519:1` of the three servers, valid until an hour after the events below. */
const lookup: KeyLookup = (serverName, id) => {
  const key = Object.entries(keyOf).find(([name]) => name === serverName)?.[1]
  return key === undefined || id !== keyId
    ? undefined
    : { key: key.publicKey, validUntilTs: 1_000_000 + hour }
}

const message: JsonObject = {
  type: 'm.room.message',
  sender: '@a:home',
  room_id: '!r:home',
  event_id: '$1:home',
  content: { body: 'x' },
  origin_server_ts: 1_000_000,
  depth: 1,
  auth_events: [],
  prev_events: [],
}
const join: JsonObject = {
  ...message,
  type: 'm.room.member',
  state_key: '@a:home',
  content: { membership: 'join', join_authorised_via_users_server: '@b:other' },
}
const thirdPartyInvite: JsonObject = {
  ...message,
  type: 'm.room.member',
  state_key: '@c:third',
  content: { membership: 'invite', third_party_invite: { signed: {} } },
}

function signedBy(pdu: JsonObject, rules: RoomVersionRules, ...servers: Server[]): JsonObject {
  const hashed = signEvent(pdu, rules, servers[0] ?? 'home', keyId, keyOf[servers[0] ?? 'home'])
  return servers
    .slice(1)
    .reduce((event, server) => countersignEvent(event, rules, server, keyId, keyOf[server]), hashed)
}

function accepts(pdu: JsonObject, rules: RoomVersionRules, keys: KeyLookup = lookup): boolean {
  return verifyEventSignatures(pdu, rules, keys).ok
}

describe('signing an event', () => {
  const vectors = specObject('vectors/signing.json')
  const events = asObjects(vectors['vectors']).filter((vector) => vector['kind'] === 'event')

  test('the specification has two vectors', () => expect(events).toHaveLength(2))

  test.each(events)('is as specified for $name', ({ input, expected }) => {
    const seed = decodeBase64(asText(vectors['signing_key_seed_base64'])) ?? new Uint8Array()
    const [server, id] = [asText(vectors['server_name']), asText(vectors['key_id'])]
    expect(signEvent(asObject(input), rulesOf('1'), server, id, signingKeyFromSeed(seed))).toEqual(expected)
  })

  test('gives a hash and a signature that tweetnacl finds valid on the redacted event', () => {
    fc.assert(
      fc.property(eventLike, anyRules, (event, rules) => {
        const signed = signedBy(event, rules, 'home')
        expect(hasValidContentHash(signed, rules)).toBe(true)
        const text = canonicalJson(redact(signed, rules), { strict: true, omit: ['signatures', 'unsigned'] })
        const signature = decodeBase64(asText(asObject(asObject(signed['signatures'])['home'])[keyId]))
        expect(
          nacl.sign.detached.verify(Buffer.from(text), signature ?? new Uint8Array(), keyOf.home.publicKey),
        ).toBe(true)
      }),
      { numRuns: 15 },
    )
  })

  test('verifies, also after a redaction and with other unsigned data', () => {
    fc.assert(
      fc.property(eventLike, anyRules, (event, rules) => {
        const member = { type: 'm.room.message', content: event['content'] ?? {} }
        const signed = signedBy({ ...event, ...message, ...member, signatures: {} }, rules, 'home')
        expect(accepts(signed, rules)).toBe(true)
        expect(accepts(redact(signed, rules), rules)).toBe(true)
        expect(accepts({ ...signed, unsigned: { age: 3 } }, rules)).toBe(true)
      }),
      { numRuns: 30 },
    )
  })

  test('countersigning keeps the hash and the other signatures', () => {
    const invite = signedBy(message, rulesOf('10'), 'home')
    const both = countersignEvent(invite, rulesOf('10'), 'other', keyId, keyOf.other)
    expect(both['hashes']).toBe(invite['hashes'])
    expect(Object.keys(asObject(both['signatures']))).toEqual(['home', 'other'])
  })
})

describe('the servers that must have signed', () => {
  const signers = (pdu: JsonObject): (string[] | undefined)[] =>
    allRules.map((rules) => requiredSigners(pdu, rules))

  test('are that of the sender', () => {
    expect(signers(message)).toEqual(allRules.map(() => ['home']))
  })

  test('are also that of the event id in versions 1 and 2', () => {
    expect(signers({ ...message, event_id: '$1:other' })).toEqual(
      allRules.map(({ eventId }) => (eventId === 'field' ? ['home', 'other'] : ['home'])),
    )
  })

  test('are also that of the authorising user from version 8 on, whatever the membership', () => {
    for (const membership of ['join', 'leave', 'invite']) {
      const content = { membership, join_authorised_via_users_server: '@b:other' }
      expect(signers({ ...join, content })).toEqual(
        allRules.map(({ restrictedJoins }) => (restrictedJoins ? ['home', 'other'] : ['home'])),
      )
    }
  })

  test('are not that of the authorising user in other events than member events', () => {
    expect(signers({ ...join, type: 'm.room.message' })).toEqual(allRules.map(() => ['home']))
  })

  test('are none for a third-party invite but that of the event id', () => {
    expect(signers({ ...thirdPartyInvite, event_id: '$1:third' })).toEqual(
      allRules.map(({ eventId }) => (eventId === 'field' ? ['third'] : [])),
    )
  })

  test('are unknown when an id that names one is malformed', () => {
    for (const sender of [null, 'a', '@a', '@a:b:c'])
      expect(signers({ ...message, sender }).every((answer) => answer === undefined)).toBe(true)
    expect(requiredSigners({ ...message, event_id: '$1' }, rulesOf('2'))).toBeUndefined()
    const content = { membership: 'join', join_authorised_via_users_server: 5 }
    expect(requiredSigners({ ...join, content }, rulesOf('8'))).toBeUndefined()
    expect(verifyEventSignatures({ ...join, content }, rulesOf('8'), lookup)).toMatchObject({
      ok: false,
      rule: 'signature',
    })
  })

  test('name the keys to fetch', () => {
    const pdu = signedBy(join, rulesOf('10'), 'home', 'other', 'third')
    expect(keysToVerify(pdu, rulesOf('10'))).toEqual([
      { serverName: 'home', keyId },
      { serverName: 'other', keyId },
    ])
    expect(keysToVerify(signedBy(thirdPartyInvite, rulesOf('10'), 'third'), rulesOf('10'))).toEqual([
      { serverName: 'third', keyId },
    ])
    expect(keysToVerify({ ...message, signatures: { home: { 'rsa:1': 'x' } } }, rulesOf('10'))).toEqual([])
    expect(keysToVerify({ ...message, sender: 1 }, rulesOf('10'))).toEqual([])
  })
})

describe('verifying the signatures of an event', () => {
  test.each(allRules)('refuses changed essential fields in version $id', (rules) => {
    const signed = signedBy(message, rules, 'home')
    expect(accepts(signed, rules)).toBe(true)
    for (const change of [
      { depth: 2 },
      { room_id: '!s:home' },
      { hashes: { sha256: 'x' } },
      { state_key: '' },
    ])
      expect(accepts({ ...signed, ...change }, rules)).toBe(false)
    // What a redaction drops is covered by the content hash alone.
    expect(accepts({ ...signed, content: {} }, rules)).toBe(true)
  })

  test('refuses an event that is signed by nobody, by another server or with another key', () => {
    const rules = rulesOf('11')
    const signed = signedBy(message, rules, 'home')
    const signatures = asObject(signed['signatures'])
    expect(accepts({ ...message, signatures: {} }, rules)).toBe(false)
    expect(accepts(message, rules)).toBe(false)
    expect(accepts(signedBy(message, rules, 'other'), rules)).toBe(false)
    expect(accepts({ ...signed, sender: '@a:other' }, rules)).toBe(false)
    expect(accepts({ ...signed, signatures: { other: signatures['home'] ?? null } }, rules)).toBe(false)
    expect(accepts(signEvent(message, rules, 'home', keyId, keyOf.other), rules)).toBe(false)
    expect(accepts(signEvent(message, rules, 'home', 'rsa:1', keyOf.home), rules)).toBe(false)
  })

  test('skips signatures of unknown keys, but not wrong ones of known keys', () => {
    const rules = rulesOf('11')
    const signed = signedBy(message, rules, 'home')
    const ofHome = asObject(asObject(signed['signatures'])['home'])
    const having = (more: JsonObject): JsonObject => ({
      ...signed,
      signatures: { home: { ...ofHome, ...more } },
    })
    const twoKeys: KeyLookup = (serverName, id) =>
      id === 'ed25519:2' ? { key: keyOf.other.publicKey, validUntilTs: Infinity } : lookup(serverName, id)
    expect(accepts(having({ 'ed25519:policy_server': 'AAAA', 'rsa:1': 7 }), rules)).toBe(true)
    expect(accepts(having({ 'ed25519:2': 'AAAA' }), rules)).toBe(true)
    expect(accepts(having({ 'ed25519:2': 'AAAA' }), rules, twoKeys)).toBe(false)
    expect(accepts(having({ 'ed25519:2': 7 }), rules, twoKeys)).toBe(false)
  })

  test('needs both signatures of a restricted join', () => {
    for (const version of ['8', '9', '10', '11', '12']) {
      const rules = rulesOf(version)
      expect(accepts(signedBy(join, rules, 'home'), rules)).toBe(false)
      expect(accepts(signedBy(join, rules, 'other'), rules)).toBe(false)
      expect(accepts(signedBy(join, rules, 'home', 'other'), rules)).toBe(true)
    }
    expect(accepts(signedBy(join, rulesOf('7'), 'home'), rulesOf('7'))).toBe(true)
  })

  test('needs the signature of the server in the event id in versions 1 and 2', () => {
    const pdu = { ...message, event_id: '$1:other' }
    for (const version of ['1', '2']) {
      expect(accepts(signedBy(pdu, rulesOf(version), 'home'), rulesOf(version))).toBe(false)
      expect(accepts(signedBy(pdu, rulesOf(version), 'home', 'other'), rulesOf(version))).toBe(true)
    }
    expect(accepts(signedBy(pdu, rulesOf('3'), 'home'), rulesOf('3'))).toBe(true)
  })

  test('needs one valid signature on a third-party invite, whoever made it', () => {
    const rules = rulesOf('11')
    const invite = signedBy(thirdPartyInvite, rules, 'third')
    expect(accepts(invite, rules)).toBe(true)
    const withBogus = { ...asObject(invite['signatures']), unknown: { [keyId]: 'AAAA' } }
    expect(accepts({ ...invite, signatures: withBogus }, rules)).toBe(true)
    expect(accepts({ ...invite, signatures: {} }, rules)).toBe(false)
    expect(accepts({ ...invite, signatures: { third: { [keyId]: 'AAAA' } } }, rules)).toBe(false)
    expect(accepts({ ...invite, depth: 9 }, rules)).toBe(false)
  })

  test('needs a key that was valid at the time from version 5 on', () => {
    const until =
      (validUntilTs?: number): KeyLookup =>
      () => ({ key: keyOf.home.publicKey, ...(validUntilTs === undefined ? {} : { validUntilTs }) })
    for (const rules of allRules) {
      const signed = signedBy(message, rules, 'home')
      expect(accepts(signed, rules, until(1_000_000))).toBe(true)
      expect(accepts(signed, rules, until(999_999))).toBe(!rules.enforceKeyValidity)
      expect(accepts(signed, rules, until())).toBe(!rules.enforceKeyValidity)
    }
  })

  test('refuses without throwing an event without canonical JSON', () => {
    const signed = signedBy({ ...message, depth: 1.5 }, rulesOf('5'), 'home')
    expect(accepts(signed, rulesOf('5'))).toBe(true)
    expect(verifyEventSignatures(signed, rulesOf('6'), lookup)).toMatchObject({ rule: 'canonical-json' })
  })
})
