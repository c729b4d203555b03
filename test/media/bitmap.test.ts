import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { isOpaque, scaleDown, type Bitmap } from '../../src/media/bitmap.ts'

function bitmap(width: number, height: number, colour: (x: number, y: number) => number[]): Bitmap {
  const data = new Uint8ClampedArray(width * height * 4)
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) data.set(colour(x, y), (y * width + x) * 4)
  }
  return { width, height, data }
}

const whole = ({ width, height }: Bitmap) => ({ x: 0, y: 0, width, height })

test('a pixel of the smaller image is the mean of what it covers', () => {
  const image = bitmap(4, 2, (x, y) => [x * 10, y * 100, 0, 255])
  expect([...scaleDown(image, whole(image), 2, 1).data]).toEqual([5, 50, 0, 255, 25, 50, 0, 255])
})

test('transparent pixels lend no colour', () => {
  const image = bitmap(2, 1, (x) => (x === 0 ? [200, 0, 0, 255] : [0, 255, 0, 0]))
  expect([...scaleDown(image, whole(image), 1, 1).data]).toEqual([200, 0, 0, 128])
})

test('a part is cut out', () => {
  const image = bitmap(4, 1, (x) => [x, 0, 0, 255])
  expect([...scaleDown(image, { x: 1, y: 0, width: 2, height: 1 }, 2, 1).data]).toEqual([
    1, 0, 0, 255, 2, 0, 0, 255,
  ])
})

test('one colour stays one colour, whatever the sizes', () => {
  const size = fc.integer({ min: 1, max: 40 })
  fc.assert(
    fc.property(size, size, size, size, (width, height, a, b) => {
      const image = bitmap(width, height, () => [12, 34, 56, 255])
      const small = scaleDown(image, whole(image), Math.min(a, width), Math.min(b, height))
      for (let i = 0; i < small.data.length; i += 4) {
        expect([...small.data.subarray(i, i + 4)]).toEqual([12, 34, 56, 255])
      }
      expect(isOpaque(small)).toBe(true)
    }),
  )
})
