import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compileGlob, literalGlob, matchesGlob, matchesGlobWords } from '../../src/matrix/glob.ts'

/** The same pattern as a regular expression: right, but not safe for long input. */
function oracle(pattern: string, flags: string): RegExp {
  const source = Array.from(pattern).map((char) =>
    char === '*' ? '[^]*' : char === '?' ? '[^]' : char.replace(/[.\\]/, '\\$&'),
  )
  return new RegExp(`^${source.join('')}$`, `u${flags}`)
}

function short(alphabet: readonly string[], maxLength: number) {
  return fc.array(fc.constantFrom(...alphabet), { maxLength }).map((chars) => chars.join(''))
}

/** Every substring between two word boundaries, found the slow way. */
function wordSubstrings(value: string): string[] {
  const chars = Array.from(value)
  const isWord = (char: string | undefined) => char !== undefined && /[A-Za-z0-9_]/.test(char)
  const boundaries = [...chars.keys(), chars.length].filter(
    (at) => !isWord(chars[at - 1]) || !isWord(chars[at]),
  )
  return boundaries.flatMap((start) =>
    boundaries.filter((end) => end >= start).map((end) => chars.slice(start, end).join('')),
  )
}

describe('a glob', () => {
  test.each([
    ['', '', true],
    ['', 'a', false],
    ['*', '', true],
    ['?', '', false],
    ['?', '😀', true],
    ['??', '😀', false],
    ['*?b', 'x😀b', true],
    ['a*a', 'a', false],
    ['a*b*c', 'a-c-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['*.evil.com', 'evil.com', false],
    ['*.evil.com', 'a.b.evil.com', true],
    ['a.c', 'abc', false],
    ['line*end', 'line\nend', true],
    ['[ab]+$', '[ab]+$', true],
    ['[ab]', 'a', false],
  ])('%j against %j is %j', (pattern, value, expected) => {
    expect(matchesGlob(compileGlob(pattern), value)).toBe(expected)
  })

  test('heeds case unless told otherwise', () => {
    expect(matchesGlob(compileGlob('Evil.*'), 'evil.com')).toBe(false)
    expect(matchesGlob(compileGlob('Evil.*', { caseInsensitive: true }), 'eVIL.com')).toBe(true)
  })

  test('can take ? as an ordinary character', () => {
    const glob = compileGlob('a?*', { starOnly: true })
    expect(matchesGlob(glob, 'a?b')).toBe(true)
    expect(matchesGlob(glob, 'abb')).toBe(false)
  })

  test('can be a literal text', () => {
    expect(matchesGlob(literalGlob('*?'), '*?')).toBe(true)
    expect(matchesGlob(literalGlob('*?'), 'ab')).toBe(false)
  })

  test('agrees with a regular expression', () => {
    const pattern = short(['a', 'b', '.', '*', '?', '😀'], 8)
    const value = short(['a', 'b', '.', '😀'], 9)
    fc.assert(
      fc.property(pattern, value, (pattern, value) => {
        expect(matchesGlob(compileGlob(pattern), value)).toBe(oracle(pattern, '').test(value))
      }),
      { numRuns: 3000 },
    )
  })

  test('agrees with a regular expression when it ignores case', () => {
    fc.assert(
      fc.property(short(['a', 'B', '*', '?'], 6), short(['a', 'A', 'b', 'B'], 6), (pattern, value) => {
        const glob = compileGlob(pattern, { caseInsensitive: true })
        expect(matchesGlob(glob, value)).toBe(oracle(pattern, 'i').test(value))
      }),
      { numRuns: 1000 },
    )
  })

  test.each([31, 32, 33, 64, 65])('finds a piece of %i characters', (length) => {
    const text = 'a'.repeat(length)
    const value = `b${'a'.repeat(length - 1)}b?${text}b`
    expect(matchesGlob(compileGlob(`*${text}*`), value)).toBe(true)
    expect(matchesGlob(compileGlob(`*?${text}*`), value)).toBe(true)
    expect(matchesGlob(compileGlob(`*${text}a*`), value)).toBe(false)
    expect(matchesGlobWords(compileGlob(text), `x${text} ${text}`)).toBe(true)
    expect(matchesGlobWords(compileGlob(text), `x${text} ${text}a`)).toBe(false)
  })

  test('does not blow up on many stars', () => {
    const glob = compileGlob(`${'a*'.repeat(500)}b`)
    expect(matchesGlob(glob, 'a'.repeat(20_000))).toBe(false)
    expect(matchesGlobWords(glob, 'a'.repeat(20_000))).toBe(false)
  })
})

describe('a glob among words', () => {
  test.each([
    ['ex*ple', 'An example event.', true],
    ['ex*ple', 'exple', true],
    ['ex*ple', 'An exciting triple-whammy', true],
    ['ex*ple', 'An examples', false],
    ['cake', 'cakes', false],
    ['cake', 'a cake!', true],
    ['cake', 'cupcake', false],
    ['cake', 'snake_cake', false],
    ['cake', 'pancake, cake', true],
    ['c?ke', 'coke', true],
    ['@room', 'hey@room', true],
    ['@room', '@roomy', false],
    ['caf', 'café', true],
    ['*', '', true],
    ['time for', "it's time for tea", true],
  ])('%j in %j is %j', (pattern, value, expected) => {
    expect(matchesGlobWords(compileGlob(pattern), value)).toBe(expected)
  })

  test('agrees with trying every substring between word boundaries', () => {
    const pattern = short(['a', 'b', '-', '*', '?', '😀'], 6)
    const value = short(['a', 'b', '-', ' ', '😀'], 8)
    fc.assert(
      fc.property(pattern, value, (pattern, value) => {
        const expected = wordSubstrings(value).some((part) => oracle(pattern, '').test(part))
        expect(matchesGlobWords(compileGlob(pattern), value)).toBe(expected)
      }),
      { numRuns: 3000 },
    )
  })
})
