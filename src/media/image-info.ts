// What the first bytes of an image tell: its format and size. Nothing is decoded before this was looked at, since a
// small file can claim to be a huge image.

export interface ImageInfo {
  readonly format: 'png' | 'jpeg' | 'gif' | 'webp'
  /** In pixels, as stored: a JPEG may still have to be turned. */
  readonly width: number
  readonly height: number
  /** Whether it may have several frames. */
  readonly animated: boolean
}

/** How many bytes `readImageInfo` needs at most: metadata can come before the size of a JPEG. */
export const imageInfoBytes = 256 * 1024

/** Reads format and size from the start of a file. Undefined when it is no image of a known format. */
export function readImageInfo(bytes: Uint8Array): ImageInfo | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  try {
    const info = readPng(view) ?? readGif(view) ?? readWebp(view) ?? readJpeg(view)
    return info && info.width > 0 && info.height > 0 ? info : undefined
  } catch (error) {
    // The file ends too early.
    if (error instanceof RangeError) return undefined
    throw error
  }
}

// PNG (W3C), section 5: a signature, then chunks, the first of which is IHDR.
function readPng(view: DataView): ImageInfo | undefined {
  if (ascii(view, 1, 3) !== 'PNG' || ascii(view, 12, 4) !== 'IHDR') return undefined
  return {
    format: 'png',
    width: view.getUint32(16),
    height: view.getUint32(20),
    animated: hasAnimationChunk(view),
  }
}

// An animated PNG has a chunk acTL before its image data.
function hasAnimationChunk(view: DataView): boolean {
  for (let at = 8; at + 8 <= view.byteLength; at += 12 + view.getUint32(at)) {
    const type = ascii(view, at + 4, 4)
    if (type === 'acTL') return true
    if (type === 'IDAT') return false
  }
  return false
}

function readGif(view: DataView): ImageInfo | undefined {
  if (!/^GIF8[79]a$/.test(ascii(view, 0, 6))) return undefined
  return { format: 'gif', width: view.getUint16(6, true), height: view.getUint16(8, true), animated: true }
}

// RFC 9649: a RIFF file whose first chunk is VP8 (lossy), VP8L (lossless) or VP8X (extended).
function readWebp(view: DataView): ImageInfo | undefined {
  if (ascii(view, 0, 4) !== 'RIFF' || ascii(view, 8, 4) !== 'WEBP') return undefined
  switch (ascii(view, 12, 4)) {
    case 'VP8 ':
      return {
        format: 'webp',
        width: view.getUint16(26, true) & 0x3fff,
        height: view.getUint16(28, true) & 0x3fff,
        animated: false,
      }
    case 'VP8L': {
      const bits = view.getUint32(21, true)
      return {
        format: 'webp',
        width: (bits & 0x3fff) + 1,
        height: ((bits >>> 14) & 0x3fff) + 1,
        animated: false,
      }
    }
    case 'VP8X':
      return {
        format: 'webp',
        width: uint24(view, 24) + 1,
        height: uint24(view, 27) + 1,
        animated: (view.getUint8(20) & 2) !== 0,
      }
    default:
      return undefined
  }
}

// JPEG (ITU T.81), annex B: segments up to the frame header, whose marker is one of SOF0 to SOF15.
function readJpeg(view: DataView): ImageInfo | undefined {
  if (view.getUint16(0) !== 0xffd8) return undefined
  for (let at = 2; ;) {
    if (view.getUint8(at) !== 0xff) return undefined
    const marker = view.getUint8(at + 1)
    // Fill bytes may stand before a marker.
    if (marker === 0xff) at += 1
    else if (isFrameHeader(marker)) {
      return {
        format: 'jpeg',
        height: view.getUint16(at + 5),
        width: view.getUint16(at + 7),
        animated: false,
      }
    } else at += 2 + view.getUint16(at + 2)
  }
}

function isFrameHeader(marker: number): boolean {
  // DHT, JPG and DAC lie in between.
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc
}

function uint24(view: DataView, at: number): number {
  return view.getUint16(at, true) | (view.getUint8(at + 2) << 16)
}

function ascii(view: DataView, at: number, length: number): string {
  return String.fromCharCode(...Array.from({ length }, (_, i) => view.getUint8(at + i)))
}
