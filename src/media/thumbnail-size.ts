// Sizes of thumbnails. Specification: client-server API, "Thumbnails".

import type { Rectangle } from './bitmap.ts'

export interface ThumbnailSize {
  readonly method: 'crop' | 'scale'
  readonly width: number
  readonly height: number
}

interface Size {
  readonly width: number
  readonly height: number
}

const scaleSizes: readonly Size[] = [
  { width: 32, height: 32 },
  { width: 96, height: 96 },
  { width: 320, height: 240 },
  { width: 640, height: 480 },
  { width: 800, height: 600 },
  { width: 1600, height: 1200 },
]
const cropSides = [32, 96, 240, 480, 800, 1600]

/**
 * The size that is made for a requested one: one of a few, so that few thumbnails are made of an image, and never
 * smaller. Undefined when it is larger than all of them: then the original is the answer.
 */
export function offeredSize({ method, width, height }: ThumbnailSize): ThumbnailSize | undefined {
  if (method === 'scale') {
    const size = scaleSizes.find((candidate) => candidate.width >= width && candidate.height >= height)
    return size && { method, ...size }
  }
  // Crops keep the aspect ratio of the request.
  const longest = Math.max(width, height)
  const side = cropSides.find((candidate) => candidate >= longest)
  if (side === undefined) return undefined
  const grown = (length: number) => Math.ceil((length * side) / longest)
  return { method, width: grown(width), height: grown(height) }
}

/** Whether an image is so small that no thumbnail of that size can be made without enlarging it. */
export function isSmaller(image: Size, size: ThumbnailSize): boolean {
  return scaleFactor(image, size) >= 1
}

/**
 * Which part of an image a thumbnail shows, and its size in pixels. Scaled ones show all and cover the requested size in
 * both directions; cropped ones show the middle. Images are never enlarged.
 */
export function fitThumbnail(image: Size, size: ThumbnailSize): Size & { part: Rectangle } {
  const factor = scaleFactor(image, size)
  const whole = { x: 0, y: 0, width: image.width, height: image.height }
  if (factor >= 1) return { width: image.width, height: image.height, part: whole }
  if (size.method === 'scale') {
    return { width: Math.ceil(image.width * factor), height: Math.ceil(image.height * factor), part: whole }
  }
  const width = Math.min(image.width, size.width / factor)
  const height = Math.min(image.height, size.height / factor)
  const part = { x: (image.width - width) / 2, y: (image.height - height) / 2, width, height }
  return { width: size.width, height: size.height, part }
}

function scaleFactor(image: Size, size: Size): number {
  return Math.max(size.width / image.width, size.height / image.height)
}
