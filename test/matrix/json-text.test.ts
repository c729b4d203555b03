import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isTooDeep, parseJson } from '../../src/matrix/json-text.ts'
import { canonicalValue } from './arbitrary.ts'

describe('faults of a JSON text', () => {
  test('are reported with the way to them', () => {
    const text = `{"pdus": [ {"depth":1, "content":{"a":[1, "x,:[", 1.0]}},
      {"depth": 2}, {"\\u0061\\"b": -0}, {"depth": 9007199254740992}, {"t":true,"f":false,"n":null,"x":1E999} ],
      "s": "\\ud800", "\\udc00": 1e3}`
    expect(parseJson(text).faults).toEqual([
      { kind: 'float', path: ['pdus', 0, 'content', 'a', 2] },
      { kind: 'negative-zero', path: ['pdus', 2, 'a"b'] },
      { kind: 'integer-range', path: ['pdus', 3, 'depth'] },
      { kind: 'non-finite', path: ['pdus', 4, 'x'] },
      { kind: 'lone-surrogate', path: ['s'] },
      { kind: 'lone-surrogate', path: ['\udc00'] },
      { kind: 'float', path: ['\udc00'] },
    ])
  })

  test('are found in values hidden by a duplicate key', () => {
    expect(parseJson('{"a":[{}, 1.5],"a":1}')).toEqual({
      value: { a: 1 },
      faults: [{ kind: 'float', path: ['a', 1] }],
    })
  })

  test('have paths of at most eight steps, however deep they lie', () => {
    const text = '['.repeat(1000) + '1.5' + ']'.repeat(1000)
    expect(parseJson(text).faults).toEqual([{ kind: 'float', path: [0, 0, 0, 0, 0, 0, 0, 0] }])
  })

  test.each([
    ['arrays', 1, '[', ']'],
    ['objects', 1, '{"a":', '}'],
    ['both', 3, '[ {"[{\\"": [', ']}]'],
  ])('%s may lie 1000 deep in each other, no deeper', (_, levels, open, close) => {
    const nested = (times: number) => `["[[{", ${open.repeat(times)}1${close.repeat(times)}]`
    const [deepest, deeper] = [nested(Math.floor(999 / levels)), nested(Math.ceil(1000 / levels))]
    expect(parseJson(deepest).faults).toEqual([])
    expect(isTooDeep(deepest)).toBe(false)
    expect(parseJson(deeper).faults).toMatchObject([{ kind: 'depth', path: { 0: 1 } }])
    expect(isTooDeep(deeper)).toBe(true)
  })

  test('are found wherever a float is put into a clean value', () => {
    fc.assert(
      fc.property(canonicalValue, canonicalValue, fc.constantFrom(' ', '', '\n'), (left, right, space) => {
        const [before, after] = [JSON.stringify(left), JSON.stringify(right)]
        const text = `{"l":${before},${space}"x":${space}1.0,"r":[${after}]}`
        expect(parseJson(text).faults).toEqual([{ kind: 'float', path: ['x'] }])
      }),
    )
  })

  test('are none in what canonical JSON can represent', () => {
    fc.assert(
      fc.property(canonicalValue, fc.constantFrom(undefined, 2), (value, indent) => {
        const parsed = parseJson(JSON.stringify(value, undefined, indent))
        expect(parsed.faults).toEqual([])
        expect(isDeepStrictEqual(parsed.value, JSON.parse(JSON.stringify(value)))).toBe(true)
      }),
    )
  })
})
