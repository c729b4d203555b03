// Images for tests, made by libvips, which is also the judge of what comes back.

import sharp, { type Metadata } from 'sharp'

export type Format = 'png' | 'jpeg' | 'gif' | 'webp'

/** A picture whose left half is red and whose right half is blue, or green without alpha where `clear` is set. */
export async function picture(
  format: Format,
  width: number,
  height: number,
  clear = false,
): Promise<Uint8Array> {
  const half = { width: width / 2, height, channels: 4 as const }
  const right = clear ? { r: 0, g: 255, b: 0, alpha: 0 } : { r: 0, g: 0, b: 255, alpha: 1 }
  const red = await sharp({ create: { ...half, background: { r: 255, g: 0, b: 0, alpha: 1 } } })
    .png()
    .toBuffer()
  return await sharp({ create: { ...half, width, background: right } })
    .composite([{ input: red, left: 0, top: 0 }])
    .toFormat(format, { quality: 100 })
    .toBuffer()
}

/** The same, for a camera held upright: stored lying, with an EXIF orientation. */
export async function turnedJpeg(width: number, height: number): Promise<Uint8Array> {
  return await sharp(await picture('jpeg', width, height))
    .withMetadata({ orientation: 6 })
    .toBuffer()
}

/** A GIF of two frames. */
export async function animation(width: number, height: number): Promise<Uint8Array> {
  const frames = ['#ff0000', '#0000ff'].map((background) => ({
    create: { width, height, channels: 3 as const, background },
  }))
  const inputs = await Promise.all(frames.map((frame) => sharp(frame).png().toBuffer()))
  return await sharp(inputs, { join: { animated: true } })
    .gif()
    .toBuffer()
}

export function metadata(bytes: Uint8Array): Promise<Metadata> {
  return sharp(bytes).metadata()
}

/** Red, green, blue and alpha of one pixel. */
export async function pixel(bytes: Uint8Array, left: number, top: number): Promise<number[]> {
  return [...(await sharp(bytes).ensureAlpha().extract({ left, top, width: 1, height: 1 }).raw().toBuffer())]
}

/** All pixels, row by row. */
export async function pixels(bytes: Uint8Array): Promise<Uint8Array> {
  return await sharp(bytes).ensureAlpha().raw().toBuffer()
}
