import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  CanonicalJsonError,
  canonicalJson,
  compareCodePoints,
  parseCanonical,
} from '../../src/matrix/canonical-json.ts'
import type { JsonValue } from '../../src/matrix/json.ts'
import { isJsonObject } from '../../src/matrix/json.ts'
import { canonicalValue } from './arbitrary.ts'
import { asObjects, asText, specObject } from './spec-vectors.ts'

const strict = { strict: true }
const lenient = { strict: false }

function failure(run: () => unknown): CanonicalJsonError {
  try {
    run()
  } catch (error) {
    if (error instanceof CanonicalJsonError) return error
    throw error
  }
  throw new Error('expected a CanonicalJsonError')
}

/** The same value with the keys of every object the other way round. */
function reversed(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(reversed)
  if (!isJsonObject(value)) return value
  const entries = Object.entries(value).map(([key, member]) => [key, reversed(member)] as const)
  return Object.fromEntries(entries.reverse())
}

describe('canonical JSON', () => {
  const vectors = asObjects(specObject('vectors/canonical-json.json')['vectors'])

  test('the specification has ten vectors', () => expect(vectors).toHaveLength(10))

  test.each(vectors)('is as specified for $input_text', ({ input_text, canonical }) => {
    expect(canonicalJson(parseCanonical(asText(input_text), lenient), lenient)).toBe(canonical)
  })

  test('sorts keys by code point, where UTF-16 order differs', () => {
    expect(canonicalJson({ '\u{1f600}': 1, '\uffee': 2, a: 3, '\u{1f601}': 4 }, strict)).toBe(
      '{"a":3,"\uffee":2,"\u{1f600}":1,"\u{1f601}":4}',
    )
  })

  test('sorts keys that look like numbers as text, and keeps __proto__', () => {
    const value: JsonValue = JSON.parse('{"9":1,"10":2,"__proto__":{"x":3}}')
    expect(canonicalJson(value, strict)).toBe('{"10":2,"9":1,"__proto__":{"x":3}}')
  })

  test('escapes only what must be escaped, in the short forms', () => {
    expect(canonicalJson('\b\t\n\f\r"\\/\u0000\u000b\u001f\u007f\u2028é', strict)).toBe(
      '"\\b\\t\\n\\f\\r\\"\\\\/\\u0000\\u000b\\u001f\u007f\u2028é"',
    )
  })

  test('leaves out keys at the top only', () => {
    expect(
      canonicalJson(
        { a: { unsigned: 1 }, unsigned: 2, b: [{ unsigned: 3 }] },
        { strict: true, omit: ['unsigned'] },
      ),
    ).toBe('{"a":{"unsigned":1},"b":[{"unsigned":3}]}')
  })

  test.each([1.5, 2 ** 53, -(2 ** 53), 1e300, -0])(
    'strict refuses the number %d, lenient writes it',
    (number) => {
      expect(failure(() => canonicalJson({ content: [number] }, strict)).path).toEqual(['content', 0])
      expect(canonicalJson([number], lenient)).toBe(`[${String(number)}]`)
    },
  )

  test.each([2 ** 53 - 1, -(2 ** 53) + 1, 0])('strict writes the integer %d', (number) => {
    expect(canonicalJson(number, strict)).toBe(String(number))
  })

  test.each([strict, lenient])('refuses what no JSON text can hold (%o)', (options) => {
    for (const value of [NaN, Infinity, -Infinity, '\ud800', 'x\udc00', '\udc00\ud800'])
      expect(failure(() => canonicalJson({ a: { b: value } }, options)).path).toEqual(['a', 'b'])
    expect(() => canonicalJson({ '\ud83d': 1 }, options)).toThrow(CanonicalJsonError)
  })

  test('refuses nesting that would overflow the stack', () => {
    const nested: JsonValue = JSON.parse('['.repeat(100_000) + ']'.repeat(100_000))
    expect(failure(() => canonicalJson(nested, lenient)).message).toContain('nested too deeply')
    const allowed = '['.repeat(1000) + ']'.repeat(1000)
    expect(canonicalJson(JSON.parse(allowed), strict)).toBe(allowed)
  })

  test('survives being parsed and written again', () => {
    fc.assert(
      fc.property(canonicalValue, (value) => {
        const once = canonicalJson(value, strict)
        expect(canonicalJson(parseCanonical(once, strict), strict)).toBe(once)
      }),
    )
  })

  test('does not depend on the order of keys', () => {
    fc.assert(
      fc.property(canonicalValue, (value) => {
        expect(canonicalJson(reversed(value), strict)).toBe(canonicalJson(value, strict))
      }),
    )
  })

  test('says the same strictly and leniently where both allow a value', () => {
    fc.assert(
      fc.property(canonicalValue, (value) => canonicalJson(value, strict) === canonicalJson(value, lenient)),
    )
  })

  test('orders texts as their UTF-8 bytes are ordered', () => {
    const text = fc.string({ unit: 'binary', maxLength: 4 })
    fc.assert(
      fc.property(text, text, (left, right) => {
        const bytes = Buffer.compare(Buffer.from(left), Buffer.from(right))
        expect(Math.sign(compareCodePoints(left, right))).toBe(bytes)
      }),
    )
  })
})

describe('parsing a text that must be canonical', () => {
  test.each(['1.0', '1e3', '1E3', '-0', '-0.0', '9007199254740992', '-9007199254740992', '0.5', '1e-7'])(
    'strict refuses %s wherever it stands',
    (number) => {
      for (const text of [
        number,
        ` ${number}`,
        `[${number}]`,
        `[1,\n ${number} ]`,
        `{"a":"b","c" : ${number}}`,
      ])
        expect(() => parseCanonical(text, strict)).toThrow(CanonicalJsonError)
      expect(parseCanonical(number, lenient)).toBe(Number(number))
    },
  )

  test.each(['1e999', '-1e999', '9'.repeat(400)])(
    'refuses %s, which no number can hold, always',
    (number) => {
      expect(() => parseCanonical(number, strict)).toThrow(CanonicalJsonError)
      expect(() => parseCanonical(number, lenient)).toThrow(CanonicalJsonError)
    },
  )

  test.each(['"\\ud800"', '"\\uDfff x"', '{"\\ud83d":1}', '["\\ude00\\ud83d"]', '"\ud83d"'])(
    'refuses the lone surrogate in %j, always',
    (text) => {
      expect(() => parseCanonical(text, strict)).toThrow(CanonicalJsonError)
      expect(() => parseCanonical(text, lenient)).toThrow(CanonicalJsonError)
    },
  )

  test.each([
    ['{"body":"at 10:30.5, [1.0, -0, 12345678901234567890]"}'],
    ['{"a":"\\",1.5","b":"\\\\"}'],
    ['["\\ud83d\\ude00"]'],
    ['{"n":[0,10,-1,9007199254740991,-9007199254740991]}'],
    [' [ true , false , null , {"a":[]} ] '],
  ])('strict accepts %s', (text) => {
    expect(parseCanonical(text, strict)).toEqual(JSON.parse(text))
  })

  test('lets the last of duplicate keys win and keeps __proto__ an own property', () => {
    expect(parseCanonical('{"a":1,"a":2}', strict)).toEqual({ a: 2 })
    const value = parseCanonical('{"__proto__":{"admin":true}}', strict)
    expect(Object.keys(value ?? {})).toEqual(['__proto__'])
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
  })

  test('throws SyntaxError for what is not JSON', () => {
    for (const text of ['', '{', '01', '[1,]', "{'a':1}", 'NaN', '1.'])
      expect(() => parseCanonical(text, strict)).toThrow(SyntaxError)
  })
})
