import { describe, expect, test } from 'vitest'
import { checkKeyAnswer } from '../../../src/federation/client/key-answer.ts'
import type { ServerName } from '../../../src/matrix/event.ts'
import { signJson } from '../../../src/matrix/signing.ts'
import { fakeKey, keyDocument, publicHalf } from '../../support/fake-homeserver.ts'

const name = 'a.test' as ServerName
const now = 1_700_000_000_000
const day = 24 * 3_600_000
const [key, other] = [fakeKey('ed25519:1'), fakeKey('ed25519:2')]
const check = (document: unknown) => checkKeyAnswer(document, name, now)

test('keys in use are valid as long as the server says', () => {
  expect(check(keyDocument(name, [key, other], { valid_until_ts: now + day }))).toEqual([
    { keyId: 'ed25519:1', key: key.key.publicKey, validUntilTs: now + day, old: false },
    { keyId: 'ed25519:2', key: other.key.publicKey, validUntilTs: now + day, old: false },
  ])
})

test('no longer than 7 days', () => {
  const [found] = check(keyDocument(name, [key], { valid_until_ts: now + 100 * day })) ?? []
  expect(found?.validUntilTs).toBe(now + 7 * day)
})

test('old keys are valid until they expired, and not into the future', () => {
  const old = (expired_ts: number) => ({ 'ed25519:2': { key: publicHalf(other), expired_ts } })
  const document = (expired: number) => keyDocument(name, [key], { old_verify_keys: old(expired) })
  expect(check(document(now - day))?.[1]).toMatchObject({ validUntilTs: now - day, old: true })
  expect(check(document(now + day))?.[1]).toMatchObject({ validUntilTs: now, old: true })
})

test('a key that is called old is old, whatever else is said', () => {
  const old_verify_keys = { 'ed25519:2': { key: publicHalf(other), expired_ts: now - day } }
  const keys = check(keyDocument(name, [key, other], { old_verify_keys }))
  expect(keys?.filter(({ keyId }) => keyId === 'ed25519:2')).toMatchObject([{ old: true }])
})

test('keys of other algorithms and malformed ones are left out', () => {
  const odd = {
    'rsa:1': { key: publicHalf(key) },
    'ed25519:short': { key: 'AAAA' },
    'ed25519:none': {},
    'ed25519:text': 'key',
    'ed25519:sp ace': { key: publicHalf(key) },
    'ed25519:1': { key: publicHalf(key) },
  }
  expect(check(keyDocument(name, [key], { verify_keys: odd }))?.map(({ keyId }) => keyId)).toEqual([
    'ed25519:1',
  ])
})

describe('refused is', () => {
  const { signatures: _, ...unsigned } = keyDocument(name, [key])
  const old_verify_keys = { 'ed25519:1': { key: publicHalf(key), expired_ts: now - day } }
  const many = Array.from({ length: 101 }, (_, n) => [`ed25519:${n}`, { key: publicHalf(key) }] as const)

  test.each([
    ['what is no object', ['a']],
    ['the document of another server', keyDocument('b.test', [key])],
    ['one without a signature', unsigned],
    ['one signed by a key it does not name', signJson(unsigned, name, 'ed25519:3', other.key)],
    ['one signed by another key under that name', signJson(unsigned, name, 'ed25519:1', other.key)],
    ['one signed by an old key alone', keyDocument(name, [key], { old_verify_keys })],
    ['one that was changed', { ...keyDocument(name, [key]), valid_until_ts: now + 1 }],
    ['one with a wrong signature among right ones', mixed()],
    ['one without valid_until_ts', keyDocument(name, [key], { valid_until_ts: null })],
    ['one with a valid_until_ts that is text', keyDocument(name, [key], { valid_until_ts: '1' })],
    ['one with too many keys', keyDocument(name, [key], { verify_keys: Object.fromEntries(many) })],
  ])('%s', (_, document) => {
    expect(check(document)).toBeUndefined()
  })

  function mixed() {
    const document = keyDocument(name, [key, other])
    return signJson(document, name, 'ed25519:2', key.key)
  }
})
