// Thumbnails by the codecs of jSquash: Rust's png, MozJPEG and libwebp, compiled to WebAssembly.

import decodeJpeg, { init as initJpegDecoder } from '@jsquash/jpeg/decode.js'
import jpegDecoder from '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm?module'
import jpegEncoder from '@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm?module'
import encodeJpeg, { init as initJpegEncoder } from '@jsquash/jpeg/encode.js'
import decodePng, { init as initPng } from '@jsquash/png/decode.js'
import png from '@jsquash/png/codec/pkg/squoosh_png_bg.wasm?module'
import encodePng from '@jsquash/png/encode.js'
import webpDecoder from '@jsquash/webp/codec/dec/webp_dec.wasm?module'
import decodeWebp, { init as initWebpDecoder } from '@jsquash/webp/decode.js'
import { isOpaque, scaleDown, type Bitmap } from './bitmap.ts'
import { decodeGif } from './gif.ts'
import type { ImageCodec, Thumbnail } from './image-codec.ts'
import type { ImageInfo } from './image-info.ts'
import { fitThumbnail } from './thumbnail-size.ts'

const jpegQuality = 80

export const wasmCodec: ImageCodec = {
  async thumbnail(bytes, info, size) {
    const image = await decoders[info.format](bytes)
    const { width, height, part } = fitThumbnail(image, size)
    return await encode(scaleDown(image, part, width, height), info)
  },
}

// Codecs other than PNG's start anew for each image: memory that a large one took would never be given back.
const decoders: Record<ImageInfo['format'], (bytes: Uint8Array) => Promise<Bitmap>> = {
  async png(bytes) {
    await initPng(png)
    return await decodePng(buffer(bytes))
  },
  async jpeg(bytes) {
    await initJpegDecoder(jpegDecoder)
    return await decodeJpeg(buffer(bytes), { preserveOrientation: true })
  },
  async webp(bytes) {
    await initWebpDecoder(webpDecoder)
    return await decodeWebp(buffer(bytes))
  },
  async gif(bytes) {
    return decodeGif(bytes)
  },
}

async function encode(image: Bitmap, { format }: ImageInfo): Promise<Thumbnail> {
  // The codecs' own type of a bitmap is the browser's.
  const data = { ...image, colorSpace: 'srgb' } as unknown as ImageData
  if (format === 'jpeg' || (format === 'webp' && isOpaque(image))) {
    await initJpegEncoder(jpegEncoder)
    const bytes = new Uint8Array(await encodeJpeg(data, { quality: jpegQuality }))
    return { bytes, contentType: 'image/jpeg' }
  }
  await initPng(png)
  return { bytes: new Uint8Array(await encodePng(data)), contentType: 'image/png' }
}

function buffer(bytes: Uint8Array): ArrayBuffer {
  return bytes.slice().buffer
}
