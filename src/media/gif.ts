// The first frame of a GIF. Specification: GIF89a; "Variable-Length-Code LZW" is its appendix F.

import type { Bitmap } from './bitmap.ts'

interface Reader {
  readonly bytes: Uint8Array
  at: number
}

interface Frame {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  readonly interlaced: boolean
  readonly colours: Uint8Array
}

/** Decodes the first frame onto a transparent canvas. Throws an Error when the file is broken. */
export function decodeGif(bytes: Uint8Array): Bitmap {
  const reader: Reader = { bytes, at: 6 }
  const [width, height] = [uint16(reader), uint16(reader)]
  const flags = uint8(reader)
  // Background colour and aspect ratio mean nothing today.
  reader.at += 2
  const global = colourTable(reader, flags)
  let transparent = -1
  for (;;) {
    const introducer = uint8(reader)
    if (introducer === 0x2c) return drawFrame(reader, width, height, global, transparent)
    if (introducer !== 0x21) throw new Error('no image in the GIF')
    if (uint8(reader) === 0xf9) transparent = transparentIndex(reader) ?? transparent
    for (const _ of subBlocks(reader));
  }
}

function transparentIndex({ bytes, at }: Reader): number | undefined {
  return ((bytes[at + 1] ?? 0) & 1) === 1 ? bytes[at + 4] : undefined
}

function drawFrame(
  reader: Reader,
  width: number,
  height: number,
  global: Uint8Array,
  transparent: number,
): Bitmap {
  const data = new Uint8ClampedArray(width * height * 4)
  const frame = readFrame(reader, global)
  const indices = decompress(reader, frame.width * frame.height)
  const rows = rowOrder(frame.height, frame.interlaced)
  indices.forEach((index, i) => {
    const x = frame.x + (i % frame.width)
    const y = frame.y + (rows[Math.floor(i / frame.width)] ?? 0)
    if (index === transparent || x >= width || y >= height) return
    const colour = frame.colours.subarray(index * 3, index * 3 + 3)
    data.set(colour, (y * width + x) * 4)
    data[(y * width + x) * 4 + 3] = 255
  })
  return { width, height, data }
}

function readFrame(reader: Reader, global: Uint8Array): Frame {
  const [x, y, width, height] = [uint16(reader), uint16(reader), uint16(reader), uint16(reader)]
  const flags = uint8(reader)
  const local = colourTable(reader, flags)
  return { x, y, width, height, interlaced: (flags & 0x40) !== 0, colours: local.length > 0 ? local : global }
}

function colourTable(reader: Reader, flags: number): Uint8Array {
  if ((flags & 0x80) === 0) return new Uint8Array()
  const length = 3 * 2 ** ((flags & 7) + 1)
  reader.at += length
  return reader.bytes.subarray(reader.at - length, reader.at)
}

// Interlaced rows come in four passes.
function rowOrder(height: number, interlaced: boolean): number[] {
  const rows = Array.from({ length: height }, (_, y) => y)
  if (!interlaced) return rows
  const pass = (start: number, step: number) => rows.filter((y) => y >= start && (y - start) % step === 0)
  return [...pass(0, 8), ...pass(4, 8), ...pass(2, 4), ...pass(1, 2)]
}

function decompress(reader: Reader, pixels: number): Uint8Array {
  const rootBits = uint8(reader)
  if (rootBits > 8) throw new Error('the code size of the GIF is out of range')
  const [clear, end] = [2 ** rootBits, 2 ** rootBits + 1]
  const output = new Uint8Array(pixels)
  // Each code is the string of an earlier one and a last byte.
  const prefixes = new Uint16Array(4096)
  const lasts = new Uint8Array(4096)
  const lengths = new Uint16Array(4096).fill(1)
  for (let code = 0; code < clear; code += 1) lasts[code] = code
  let [filled, next, bits, previous] = [0, end + 1, rootBits + 1, -1]
  const codes = readCodes(reader, () => bits)
  for (const code of codes) {
    if (code === end || filled >= pixels) break
    if (code === clear) {
      ;[next, bits, previous] = [end + 1, rootBits + 1, -1]
      continue
    }
    if (code > next || (code === next && previous === -1)) throw new Error('the GIF has a code out of order')
    const known = code < next ? code : previous
    const length = lengths[known] ?? 1
    let at = known
    for (let i = length - 1; i >= 0; i -= 1) {
      if (filled + i < pixels) output[filled + i] = lasts[at] ?? 0
      if (i > 0) at = prefixes[at] ?? 0
    }
    const first = lasts[at] ?? 0
    if (code === next && filled + length < pixels) output[filled + length] = first
    filled += code === next ? length + 1 : length
    if (previous !== -1 && next < 4096) {
      prefixes[next] = previous
      lasts[next] = first
      lengths[next] = (lengths[previous] ?? 0) + 1
      next += 1
      if (next === 2 ** bits && bits < 12) bits += 1
    }
    previous = code
  }
  return output
}

function* readCodes(reader: Reader, bits: () => number): Generator<number> {
  let [buffer, available] = [0, 0]
  for (const block of subBlocks(reader)) {
    for (const byte of block) {
      buffer |= byte << available
      available += 8
      while (available >= bits()) {
        const size = bits()
        yield buffer & (2 ** size - 1)
        buffer >>>= size
        available -= size
      }
    }
  }
}

function* subBlocks(reader: Reader): Generator<Uint8Array> {
  for (let length = uint8(reader); length > 0; length = uint8(reader)) {
    reader.at += length
    yield reader.bytes.subarray(reader.at - length, reader.at)
  }
}

function uint16(reader: Reader): number {
  return uint8(reader) | (uint8(reader) << 8)
}

function uint8(reader: Reader): number {
  const byte = reader.bytes[reader.at]
  if (byte === undefined) throw new Error('the GIF ends too early')
  reader.at += 1
  return byte
}
