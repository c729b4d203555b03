import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { fitThumbnail, isSmaller, offeredSize } from '../../src/media/thumbnail-size.ts'

test.each([
  [
    { method: 'scale', width: 1, height: 1 },
    { method: 'scale', width: 32, height: 32 },
  ],
  [
    { method: 'scale', width: 97, height: 10 },
    { method: 'scale', width: 320, height: 240 },
  ],
  [
    { method: 'scale', width: 800, height: 600 },
    { method: 'scale', width: 800, height: 600 },
  ],
  [{ method: 'scale', width: 10, height: 1201 }, undefined],
  [
    { method: 'crop', width: 40, height: 40 },
    { method: 'crop', width: 96, height: 96 },
  ],
  [
    { method: 'crop', width: 40, height: 20 },
    { method: 'crop', width: 96, height: 48 },
  ],
  [{ method: 'crop', width: 1601, height: 1 }, undefined],
] as const)('for %o the server offers %o', (requested, offered) => {
  expect(offeredSize(requested)).toEqual(offered)
})

test('scaled thumbnails show the whole image', () => {
  expect(fitThumbnail({ width: 1000, height: 500 }, { method: 'scale', width: 100, height: 100 })).toEqual({
    width: 200,
    height: 100,
    part: { x: 0, y: 0, width: 1000, height: 500 },
  })
})

test('cropped thumbnails show the middle', () => {
  expect(fitThumbnail({ width: 1000, height: 500 }, { method: 'crop', width: 100, height: 100 })).toEqual({
    width: 100,
    height: 100,
    part: { x: 250, y: 0, width: 500, height: 500 },
  })
})

test('a thumbnail is never smaller than requested, unless the image is, and never larger than the image', () => {
  const length = fc.integer({ min: 1, max: 3000 })
  const size = fc.record({
    method: fc.constantFrom('crop' as const, 'scale' as const),
    width: length,
    height: length,
  })
  fc.assert(
    fc.property(fc.record({ width: length, height: length }), size, (image, requested) => {
      const offered = offeredSize(requested)
      if (!offered) return
      const { width, height, part } = fitThumbnail(image, offered)
      if (isSmaller(image, offered)) expect({ width, height }).toEqual(image)
      else {
        expect(width).toBeGreaterThanOrEqual(requested.width)
        expect(height).toBeGreaterThanOrEqual(requested.height)
      }
      expect(width).toBeLessThanOrEqual(image.width)
      expect(height).toBeLessThanOrEqual(image.height)
      expect(part.x + part.width).toBeLessThanOrEqual(image.width)
      expect(part.y + part.height).toBeLessThanOrEqual(image.height)
    }),
  )
})
