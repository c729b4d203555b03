import * as fc from 'fast-check'
import sharp from 'sharp'
import { expect, test } from 'vitest'
import { decodeGif } from '../../src/media/gif.ts'
import { animation, picture, pixels } from './images.ts'

test('a GIF has the pixels that libvips sees in it', async () => {
  // Noise fills the code table of the compression several times.
  const noise = Uint8Array.from({ length: 150 * 100 * 3 }, (_, i) => (i * 2654435761) >>> 24)
  const raw = { width: 150, height: 100, channels: 3 as const }
  for (const options of [{}, { interlace: true }, { colours: 2 }]) {
    const gif = await sharp(noise, { raw }).gif(options).toBuffer()
    const image = decodeGif(gif)
    expect(image).toMatchObject({ width: 150, height: 100 })
    expect(Buffer.compare(Buffer.from(image.data), await pixels(gif))).toBe(0)
  }
})

test('transparent pixels stay transparent', async () => {
  const gif = await picture('gif', 40, 10, true)
  const { data } = decodeGif(gif)
  expect([...data.subarray(0, 4)]).toEqual([255, 0, 0, 255])
  expect(data[39 * 4 + 3]).toBe(0)
})

test('of an animation, the first frame is decoded', async () => {
  expect([...decodeGif(await animation(8, 8)).data.subarray(0, 4)]).toEqual([255, 0, 0, 255])
})

test('broken files are refused or decoded to a canvas of their size, but never loop', async () => {
  const gif = await picture('gif', 40, 10)
  fc.assert(
    fc.property(fc.nat(gif.byteLength - 1), fc.nat(255), fc.nat(gif.byteLength), (at, byte, length) => {
      // The size of the canvas is checked before anything is decoded.
      fc.pre(at < 6 || at > 9)
      const broken = gif.slice(0, Math.max(length, 13))
      if (at < broken.byteLength) broken[at] = byte
      try {
        const { width, height, data } = decodeGif(broken)
        expect(data.length).toBe(width * height * 4)
      } catch (error) {
        expect(error).toBeInstanceOf(Error)
      }
    }),
  )
})
