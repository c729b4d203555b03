// What makes thumbnails: codecs in WebAssembly that run in the Worker. The Images binding of the platform fits the same
// interface, and with it no image has to fit into the memory of an isolate.

import type { ImageInfo } from './image-info.ts'
import type { ThumbnailSize } from './thumbnail-size.ts'

export interface Thumbnail {
  readonly bytes: Uint8Array
  readonly contentType: 'image/png' | 'image/jpeg'
}

export interface ImageCodec {
  /**
   * The image scaled down as asked, or in its own size where it is smaller, without animation. Throws when it cannot be
   * decoded.
   */
  readonly thumbnail: (bytes: Uint8Array, info: ImageInfo, size: ThumbnailSize) => Promise<Thumbnail>
}

/** The codec of this server. Loaded when first needed: it is large, and most requests have no use for it. */
export async function imageCodec(): Promise<ImageCodec> {
  const { wasmCodec } = await import('./wasm-codec.ts')
  return wasmCodec
}
