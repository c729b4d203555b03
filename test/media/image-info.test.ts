import { expect, test } from 'vitest'
import { readImageInfo } from '../../src/media/image-info.ts'
import { animation, picture } from './images.ts'

test.each(['png', 'jpeg', 'gif', 'webp'] as const)('format and size of a %s are read', async (format) => {
  const info = readImageInfo(await picture(format, 300, 40))
  expect(info).toMatchObject({ format, width: 300, height: 40 })
})

test('a transparent WebP is read as well', async () => {
  expect(readImageInfo(await picture('webp', 300, 40, true))).toMatchObject({
    format: 'webp',
    width: 300,
    height: 40,
  })
})

test('a GIF may move, a PNG without an animation chunk does not', async () => {
  expect(readImageInfo(await animation(8, 8))?.animated).toBe(true)
  expect(readImageInfo(await picture('png', 8, 8))?.animated).toBe(false)
})

test('a PNG with an animation chunk moves', async () => {
  const png = Buffer.from(await picture('png', 8, 8))
  const chunk = Buffer.concat([Buffer.from([0, 0, 0, 0]), Buffer.from('acTL'), Buffer.alloc(4)])
  expect(readImageInfo(Buffer.concat([png.subarray(0, 33), chunk, png.subarray(33)]))?.animated).toBe(true)
})

test.each(['png', 'jpeg', 'gif', 'webp'] as const)(
  'no start of a %s makes the reader throw',
  async (format) => {
    const bytes = await picture(format, 300, 40)
    for (let length = 0; length < Math.min(bytes.byteLength, 1000); length += 1) {
      expect(() => readImageInfo(bytes.subarray(0, length))).not.toThrow()
    }
    expect(readImageInfo(bytes.subarray(0, 8))).toBeUndefined()
  },
)

test.each(['', '<svg xmlns="http://www.w3.org/2000/svg"/>', 'not an image at all'])(
  '%j is no image',
  (text) => {
    expect(readImageInfo(new TextEncoder().encode(text))).toBeUndefined()
  },
)
