import { expect, test } from 'vitest'
import { boundedMemo } from '../../src/matrix/bounded-memo.ts'

function counted(capacity: number) {
  const computed: string[] = []
  const memo = boundedMemo(capacity, (key) => {
    computed.push(key)
    return { key }
  })
  return { computed, memo }
}

test('a result is computed once', () => {
  const { computed, memo } = counted(2)
  expect(memo('a')).toBe(memo('a'))
  expect(computed).toEqual(['a'])
})

test('the oldest result goes when the memo is full', () => {
  const { computed, memo } = counted(2)
  for (const key of ['a', 'b', 'c', 'b', 'a']) expect(memo(key)).toEqual({ key })
  expect(computed).toEqual(['a', 'b', 'c', 'a'])
})

test('results of long keys are not kept', () => {
  const { computed, memo } = counted(2)
  const key = 'x'.repeat(1000)
  memo(key)
  memo(key)
  expect(computed).toEqual([key, key])
})
