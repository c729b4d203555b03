import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { fitsInBytes, utf8Length } from '../../src/matrix/utf8.ts'

const anyText = fc.string({ unit: fc.nat(0xffff).map((unit) => String.fromCharCode(unit)), maxLength: 30 })

test('a length in bytes is that of the encoded text', () => {
  fc.assert(
    fc.property(fc.oneof(anyText, fc.string({ unit: 'binary' })), (text) => {
      expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length)
    }),
  )
})

test('a text fits exactly when its bytes do', () => {
  fc.assert(
    fc.property(anyText, fc.nat(90), (text, limit) => {
      expect(fitsInBytes(text, limit)).toBe(new TextEncoder().encode(text).length <= limit)
    }),
  )
})
