import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  decodeBase64,
  decodeUrlSafeBase64,
  encodeBase64,
  encodeUrlSafeBase64,
} from '../../src/matrix/base64.ts'

describe('unpadded base64', () => {
  test.each([
    ['', ''],
    ['f', 'Zg'],
    ['fo', 'Zm8'],
    ['foo', 'Zm9v'],
    ['foob', 'Zm9vYg'],
    ['fooba', 'Zm9vYmE'],
    ['foobar', 'Zm9vYmFy'],
  ])('of %j is %j', (text, encoded) => {
    expect(encodeBase64(Buffer.from(text))).toBe(encoded)
    expect(Buffer.from(decodeBase64(encoded) ?? []).toString()).toBe(text)
  })

  test('agrees with Node in both alphabets, padded or not', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const padded = Buffer.from(bytes).toString('base64')
        expect(encodeBase64(bytes)).toBe(padded.replaceAll('=', ''))
        expect(encodeUrlSafeBase64(bytes)).toBe(Buffer.from(bytes).toString('base64url'))
        expect(decodeBase64(padded)).toEqual(bytes)
        expect(decodeBase64(padded.replaceAll('=', ''))).toEqual(bytes)
        expect(decodeUrlSafeBase64(Buffer.from(bytes).toString('base64url'))).toEqual(bytes)
      }),
    )
  })

  test.each([
    'A',
    'AAAAA',
    'Zg=',
    'Zg===',
    '====',
    '=',
    'Z=g=',
    'Zm9v=',
    'Zm9v====',
    'Z g',
    'Zg\n',
    'Zé',
    'Zm9\u0141',
    '*AAA',
  ])('refuses %j', (text) => {
    expect(decodeBase64(text)).toBeUndefined()
    expect(decodeUrlSafeBase64(text)).toBeUndefined()
  })

  test('keeps the alphabets apart', () => {
    expect(decodeBase64('-_8')).toBeUndefined()
    expect(decodeUrlSafeBase64('+/8')).toBeUndefined()
    expect(decodeBase64('+/8')).toEqual(decodeUrlSafeBase64('-_8'))
  })

  test('does not mind unused bits', () => expect(decodeBase64('Zh')).toEqual(decodeBase64('Zg')))
})
