import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { boundaryOf, secondPart } from '../../../src/federation/client/multipart.ts'
import { boundary, inParts } from '../../support/fake-media.ts'

/** The bytes cut at some places. */
async function* cut(bytes: Uint8Array, places: readonly number[], closed = { count: 0 }) {
  try {
    const ends = [...places.map((place) => place % bytes.byteLength).sort((a, b) => a - b), bytes.byteLength]
    for (let at = 0, i = 0; i < ends.length; at = ends[i] ?? at, i += 1) yield bytes.subarray(at, ends[i])
  } finally {
    closed.count += 1
  }
}

async function read(bytes: Uint8Array, places: readonly number[] = []) {
  const { headers, content } = await secondPart(cut(bytes, places), boundary)
  const chunks: Uint8Array[] = []
  for await (const chunk of content) chunks.push(chunk)
  return { headers: Object.fromEntries(headers), content: Buffer.concat(chunks) }
}

describe('an answer of two parts', () => {
  test('is read alike however it is cut', async () => {
    // What looks like the delimiter for a while.
    const piece = fc.oneof(
      fc.constantFrom('\r', '\n', '\r\n', '\r\n--', '\r\n--a-bound', '--a-boundary', '\r\n\r\n'),
      fc.string(),
    )
    const places = fc.array(fc.nat(), { maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(fc.array(piece), places, async (pieces, where) => {
        const content = pieces.join('').replaceAll(`\r\n--${boundary}`, '')
        const whole = await read(inParts(content, { 'Content-Type': 'a/b', Location: 'c: d' }), where)
        expect(whole.headers).toEqual({ 'content-type': 'a/b', location: 'c: d' })
        expect(whole.content.toString()).toBe(content)
      }),
    )
  })

  test('may have something before its first delimiter, and no headers', async () => {
    const bytes = Buffer.concat([Buffer.from('hello\r\n'), inParts('content')])
    expect(await read(bytes)).toEqual({ headers: {}, content: Buffer.from('content') })
  })

  test.each([
    ['one part', `--${boundary}\r\n\r\n{}\r\n--${boundary}--\r\n\r\n\r\n`, /one part/],
    ['no part', 'a'.repeat(100_000), /no second part/],
    [
      'endless headers',
      `--${boundary}\r\n\r\n{}\r\n--${boundary}\r\n${'a: b\r\n'.repeat(20_000)}`,
      /no second part/,
    ],
    ['nothing', '', /breaks off/],
    ['no end', inParts('content').subarray(0, -10).toString(), /breaks off/],
  ])('is refused with %s', async (_, text, reason) => {
    await expect(read(Buffer.from(text))).rejects.toThrow(reason)
  })

  test('is let go of by who has read enough', async () => {
    const closed = { count: 0 }
    const { content } = await secondPart(cut(inParts('a'.repeat(1000)), [500, 600], closed), boundary)
    await content.next()
    await content.return(undefined)
    expect(closed.count).toBe(1)
  })
})

test.each([
  ['multipart/mixed; boundary=abc', 'abc'],
  ['Multipart/Mixed;charset=utf-8; Boundary="a b?c"', 'a b?c'],
  ['multipart/mixed', undefined],
  ['multipart/mixed; boundary=', undefined],
  [`multipart/mixed; boundary=${'a'.repeat(71)}`, undefined],
  ['multipart/mixed; boundary="a\\"b"', undefined],
  ['multipart/form-data; boundary=abc', undefined],
  ['text/html; boundary=abc', undefined],
  [null, undefined],
])('the boundary of %j is %j', (contentType, expected) => {
  expect(boundaryOf(contentType)).toBe(expected)
})
