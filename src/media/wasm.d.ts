// WebAssembly files are bundled as compiled modules: Workers cannot compile them while they run.

declare module '*.wasm?module' {
  const module: WebAssembly.Module
  export default module
}

// The codecs' declarations name the browser's type, which the Workers types do not have.
interface ImageData {
  readonly width: number
  readonly height: number
  readonly data: Uint8ClampedArray
}
