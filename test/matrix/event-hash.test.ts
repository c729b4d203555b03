import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeBase64 } from '../../src/matrix/base64.ts'
import {
  contentHash,
  createEventIdOf,
  eventIdOf,
  hasValidContentHash,
  referenceHash,
  roomIdOfCreateEvent,
} from '../../src/matrix/event-hash.ts'
import { parseEventId, parseRoomId } from '../../src/matrix/identifiers.ts'
import type { JsonObject } from '../../src/matrix/json.ts'
import { redact } from '../../src/matrix/redaction.ts'
import { allRules, anyRules, canonicalValue, eventLike, rulesOf } from './arbitrary.ts'
import { asObject, asObjects, asText, specObject } from './spec-vectors.ts'

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

const message: JsonObject = {
  type: 'm.room.message',
  content: { body: 'b', a: 'ä' },
  event_id: '$1:b',
  sender: '@a:b',
  depth: 3,
  signatures: { b: {} },
  unsigned: { age: 1 },
}

describe('the content hash', () => {
  const vectors = asObjects(specObject('vectors/signing.json')['vectors']).filter(
    (vector) => vector['kind'] === 'event',
  )

  test.each(vectors)('is as specified for $name', ({ input, expected }) => {
    const sha = asText(asObject(asObject(expected)['hashes'])['sha256'])
    expect(encodeBase64(contentHash(asObject(input), rulesOf('1')))).toBe(sha)
    expect(hasValidContentHash(asObject(expected), rulesOf('1'))).toBe(true)
  })

  test('covers everything but unsigned, signatures and hashes', () => {
    const text =
      '{"content":{"a":"ä","body":"b"},"depth":3,"event_id":"$1:b","sender":"@a:b","type":"m.room.message"}'
    for (const rules of allRules)
      expect(Buffer.from(contentHash({ ...message, hashes: { sha256: 'x' } }, rules))).toEqual(sha256(text))
  })

  test('is compared as bytes, and never valid when missing or malformed', () => {
    const hash = encodeBase64(contentHash(message, rulesOf('10')))
    const valid = (hashes: JsonObject[string]): boolean =>
      hasValidContentHash({ ...message, hashes }, rulesOf('10'))
    expect(valid({ sha256: hash })).toBe(true)
    expect(valid({ sha256: `${hash}=` })).toBe(true)
    for (const hashes of [
      null,
      {},
      [],
      { sha256: 1 },
      { sha256: '' },
      { sha256: '*' },
      { sha256: hash.slice(3) },
    ])
      expect(valid(hashes)).toBe(false)
    expect(valid({ sha256: hash.replace(/^./, (first) => (first === 'A' ? 'B' : 'A')) })).toBe(false)
    expect(hasValidContentHash(message, rulesOf('10'))).toBe(false)
  })

  test('is not that of the redacted event when something was redacted', () => {
    const hashes = { sha256: encodeBase64(contentHash(message, rulesOf('10'))) }
    expect(hasValidContentHash(redact({ ...message, hashes }, rulesOf('10')), rulesOf('10'))).toBe(false)
  })
})

describe('the id of an event', () => {
  test('is the field in versions 1 and 2, later the hash of the redacted event', () => {
    const text = '{"content":{},"depth":3,"event_id":"$1:b","sender":"@a:b","type":"m.room.message"}'
    for (const rules of allRules) {
      const ids = {
        field: '$1:b',
        hash: `$${encodeBase64(sha256(text))}`,
        urlSafeHash: `$${sha256(text).toString('base64url')}`,
      }
      expect(Buffer.from(referenceHash(message, rules))).toEqual(sha256(text))
      expect(eventIdOf(message, rules)).toBe(ids[rules.eventId])
    }
  })

  test('has the form of its room version', () => {
    fc.assert(
      fc.property(eventLike, anyRules, (pdu, rules) => {
        const eventId = eventIdOf({ ...pdu, event_id: '$x:y' }, rules)
        expect(parseEventId(eventId, rules)).toBe(eventId)
      }),
    )
  })

  test('does not depend on unsigned, signatures or a redaction', () => {
    fc.assert(
      fc.property(
        eventLike,
        anyRules,
        canonicalValue,
        canonicalValue,
        (event, rules, unsigned, signatures) => {
          const pdu = { ...event, event_id: '$x:y' }
          const eventId = eventIdOf(pdu, rules)
          expect(eventIdOf({ ...pdu, unsigned: { age: 5 } }, rules)).toBe(eventId)
          expect(eventIdOf({ ...pdu, unsigned, signatures }, rules)).toBe(eventId)
          expect(eventIdOf(redact(pdu, rules), rules)).toBe(eventId)
        },
      ),
    )
  })

  test('depends on the content hash', () => {
    const one = eventIdOf({ ...message, hashes: { sha256: 'x' } }, rulesOf('4'))
    expect(eventIdOf({ ...message, hashes: { sha256: 'y' } }, rulesOf('4'))).not.toBe(one)
  })

  test('must be in the event in versions 1 and 2', () => {
    for (const event_id of [null, 1, '', '$1', '1:b', '$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg'])
      expect(() => eventIdOf({ ...message, event_id }, rulesOf('1'))).toThrow(TypeError)
  })
})

test('a version 12 room is named by its create event', () => {
  const vector = asObject(specObject('vectors/events.json')['room_id_v12'])
  const eventId = parseEventId(asText(vector['create_event_id']), rulesOf('12'))
  const roomId = parseRoomId(asText(vector['room_id']), rulesOf('12'))
  expect(eventId === undefined ? undefined : roomIdOfCreateEvent(eventId)).toBe(roomId)
  expect(roomId === undefined ? undefined : createEventIdOf(roomId)).toBe(eventId)
})

test('a room id with a domain names no create event', () => {
  const [roomId, eventId] = [parseRoomId('!a:b'), parseEventId('$a b')]
  expect(roomId === undefined ? '' : createEventIdOf(roomId)).toBeUndefined()
  expect(() => eventId !== undefined && roomIdOfCreateEvent(eventId)).toThrow(TypeError)
})
