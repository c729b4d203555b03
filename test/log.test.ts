// What log lines say of errors.

import { DrizzleQueryError } from 'drizzle-orm/errors'
import { expect, it } from 'vitest'
import { errorMessage, errorStack } from '../src/log.ts'

const failed = new DrizzleQueryError(
  'update "users" set "password_hash" = ? where "name" = ?',
  ['$scrypt$secret', "it's\nparams: me\n    at home"],
  new Error('D1_ERROR: overloaded'),
)

it('a query that failed is named with its reason, and without what was put into it', () => {
  expect(errorMessage(failed)).toBe(
    'Failed query: update "users" set "password_hash" = ? where "name" = ?: D1_ERROR: overloaded',
  )
  const stack = errorStack(failed)
  expect(stack).toContain('update "users"')
  expect(stack).toContain('log.test.ts')
  expect(stack).not.toMatch(/secret|home/)
})

it('any other error is as it says', () => {
  const error = new Error('a\nparams: b')
  expect(errorMessage(error)).toBe('a\nparams: b')
  expect(errorStack(error)).toBe(error.stack)
  expect(errorMessage('text')).toBe('text')
})
