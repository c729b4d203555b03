import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parsePropertyPath, valueAtPath } from '../../src/matrix/property-path.ts'

test.each([
  ['content.body', ['content', 'body']],
  [String.raw`content.m\.relates_to`, ['content', 'm.relates_to']],
  [String.raw`content.m\\foo`, ['content', String.raw`m\foo`]],
  [String.raw`a\x.b`, [String.raw`a\x`, 'b']],
  [String.raw`a\\.b`, ['a\\', 'b']],
  ['a\\', ['a\\']],
  ['', ['']],
  ['a..b', ['a', '', 'b']],
])('the path %j names %j', (path, names) => {
  expect(parsePropertyPath(path)).toEqual(names)
})

test('any names survive escaping', () => {
  const name = fc.array(fc.constantFrom('a', '.', '\\', 'x'), { maxLength: 5 }).map((chars) => chars.join(''))
  fc.assert(
    fc.property(fc.array(name, { minLength: 1, maxLength: 4 }), (names) => {
      const path = names.map((part) => part.replaceAll(/[.\\]/g, String.raw`\$&`)).join('.')
      expect(parsePropertyPath(path)).toEqual(names)
    }),
  )
})

test('a path leads only through own properties of objects', () => {
  const event = { content: { body: 'hi', list: ['x'] } }
  expect(valueAtPath(event, ['content', 'body'])).toBe('hi')
  expect(valueAtPath(event, ['content', 'constructor'])).toBeUndefined()
  expect(valueAtPath(event, ['__proto__', 'toString'])).toBeUndefined()
  expect(valueAtPath(event, ['content', 'body', 'length'])).toBeUndefined()
  expect(valueAtPath(event, ['content', 'list', '0'])).toBeUndefined()
})
