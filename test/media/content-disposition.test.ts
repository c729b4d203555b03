import { expect, test } from 'vitest'
import { dispositionFilename } from '../../src/media/content-disposition.ts'
import { contentDisposition } from '../../src/media/serve-content.ts'

test.each([
  [undefined, null],
  ['inline', null],
  ['attachment; filename=', null],
  ['attachment; filename=a.txt', 'a.txt'],
  ['attachment;FileName = "a;b.txt" ; size=3', 'a;b.txt'],
  [String.raw`inline; filename="a\"b\\c"`, String.raw`a"b\c`],
  ["inline; filename=plain; filename*=utf-8''%E2%98%95", '☕'],
  ["inline; filename*=UTF-8'en'a%20b; filename=plain", 'a b'],
  ["inline; filename=plain; filename*=utf-8''%FF", 'plain'],
  ["inline; filename=plain; filename*=koi8-r''%C1", 'plain'],
  ['inline; filename="für.txt"', 'für.txt'],
  ['filename=a.txt', null],
])('the file name in %j is %j', (disposition, filename) => {
  expect(dispositionFilename(disposition)).toBe(filename)
})

test.each(['a.txt', 'a b.txt', 'a;b"c\\d%.txt', "it's (☕)*.txt", '../../etc/passwd'])(
  'our own form of %j is read as that',
  (filename) => {
    expect(dispositionFilename(contentDisposition('inline', filename))).toBe(filename)
  },
)

test('a name as long as a header is cut', () => {
  expect(dispositionFilename(`inline; filename="${'a'.repeat(5000)}"`)).toHaveLength(1024)
})
