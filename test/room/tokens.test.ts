import { expect, test } from 'vitest'
import { formatToken, parseToken } from '../../src/room/tokens.ts'

test.each([0, 1, 4711, -3, 2 ** 40])('position %d comes back from its token', (position) => {
  expect(parseToken(formatToken(position))).toBe(position)
})

test.each(['', 't', 't-', 't-0', 't01', 't1.5', 's1_0', 't1 ', 't9999999999999999', 'T1', 't1\n'])(
  '%j is no token',
  (text) => {
    expect(parseToken(text)).toBeUndefined()
  },
)
