import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { readRange } from '../../src/media/byte-range.ts'

test.each([
  ['bytes=0-0', { offset: 0, length: 1 }],
  ['bytes=2-5', { offset: 2, length: 4 }],
  ['bytes=8-', { offset: 8, length: 2 }],
  ['bytes=8-100', { offset: 8, length: 2 }],
  ['bytes=-3', { offset: 7, length: 3 }],
  ['bytes=-30', { offset: 0, length: 10 }],
  ['bytes=10-', 'unsatisfiable'],
  ['bytes=-0', 'unsatisfiable'],
  ['bytes=5-4', undefined],
  ['bytes=-', undefined],
  ['bytes=0-1,3-4', undefined],
  ['lines=0-1', undefined],
  ['bytes=0x1-2', undefined],
  [null, undefined],
])('of ten bytes, %s is %o', (header, range) => {
  expect(readRange(header, 10)).toEqual(range)
})

test('a range never reaches beyond the content', () => {
  const parts = fc.tuple(fc.option(fc.nat(200)), fc.option(fc.nat(200)), fc.nat(100))
  fc.assert(
    fc.property(parts, ([first, last, size]) => {
      const range = readRange(`bytes=${first ?? ''}-${last ?? ''}`, size)
      if (typeof range !== 'object') return
      expect(range.length).toBeGreaterThan(0)
      expect(range.offset).toBeGreaterThanOrEqual(0)
      expect(range.offset + range.length).toBeLessThanOrEqual(size)
    }),
  )
})
