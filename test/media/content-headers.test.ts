import { expect, test } from 'vitest'
import { mayBeInline, storedContentType } from '../../src/media/content-type.ts'
import { contentDisposition } from '../../src/media/serve-content.ts'

test.each(['image/png', 'IMAGE/PNG', 'text/plain; charset=utf-8', 'video/mp4'])(
  '%s may be shown inline',
  (type) => {
    expect(mayBeInline(type)).toBe(true)
  },
)

test.each([
  'text/html',
  'image/svg+xml',
  'application/xhtml+xml',
  'application/pdf',
  'text/javascript',
  'image/png/x',
  '',
])('%s may not be shown inline', (type) => {
  expect(mayBeInline(type)).toBe(false)
})

test.each([
  undefined,
  '',
  'text',
  'text/html\r\nX-Injected: 1',
  'text/plain, text/html',
  `text/${'x'.repeat(200)}`,
])('the content type %j is not kept', (type) => {
  expect(storedContentType(type)).toBe('application/octet-stream')
})

test('a content type is kept as it was sent', () => {
  expect(storedContentType('Text/Plain; charset=UTF-8')).toBe('Text/Plain; charset=UTF-8')
  expect(storedContentType('img/png')).toBe('img/png')
})

test.each([
  [null, 'attachment'],
  ['name with; semicolons', 'attachment; filename="name with; semicolons"'],
  ['☕ (1).png', "attachment; filename*=utf-8''%E2%98%95%20%281%29.png"],
  ['a"b\\c', "attachment; filename*=utf-8''a%22b%5Cc"],
  ['a\r\nX-Injected: 1', "attachment; filename*=utf-8''a%0D%0AX-Injected%3A%201"],
  ['\ud800', "attachment; filename*=utf-8''%EF%BF%BD"],
])('the file name %j becomes %s', (filename, header) => {
  expect(contentDisposition('attachment', filename)).toBe(header)
})
