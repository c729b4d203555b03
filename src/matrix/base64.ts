// Unpadded base64 in the standard and the URL-safe alphabet. Appendices, "Unpadded Base64".

const standardAlphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const urlSafeAlphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const standardValues = valuesOf(standardAlphabet)
const urlSafeValues = valuesOf(urlSafeAlphabet)

/** Bytes as standard base64 without padding. */
export function encodeBase64(bytes: Uint8Array): string {
  return encode(bytes, standardAlphabet)
}

/** Bytes as URL-safe base64 without padding. */
export function encodeUrlSafeBase64(bytes: Uint8Array): string {
  return encode(bytes, urlSafeAlphabet)
}

/**
 * The bytes of a standard base64 text, padded completely or not at all; undefined for anything else. Unused bits of the last
 * character are not looked at, as other servers do: values are compared decoded.
 */
export function decodeBase64(text: string): Uint8Array | undefined {
  return decode(text, standardValues)
}

/** As decodeBase64, in the URL-safe alphabet. */
export function decodeUrlSafeBase64(text: string): Uint8Array | undefined {
  return decode(text, urlSafeValues)
}

function encode(bytes: Uint8Array, alphabet: string): string {
  let text = ''
  let at = 0
  for (; at + 2 < bytes.length; at += 3) {
    const group = (byteAt(bytes, at) << 16) | (byteAt(bytes, at + 1) << 8) | byteAt(bytes, at + 2)
    text += digit(alphabet, group >> 18) + digit(alphabet, group >> 12)
    text += digit(alphabet, group >> 6) + digit(alphabet, group)
  }
  const left = bytes.length - at
  if (left === 0) return text
  const group = (byteAt(bytes, at) << 16) | (byteAt(bytes, at + 1) << 8)
  text += digit(alphabet, group >> 18) + digit(alphabet, group >> 12)
  return left === 2 ? text + digit(alphabet, group >> 6) : text
}

function decode(text: string, values: Int8Array): Uint8Array | undefined {
  const length = lengthWithoutPadding(text)
  // A lone character holds six bits: less than a byte.
  if (length === undefined || length % 4 === 1) return undefined
  const bytes = new Uint8Array(Math.floor((length * 3) / 4))
  let bits = 0
  let written = 0
  for (let at = 0; at < length; at++) {
    const value = values[text.charCodeAt(at)] ?? -1
    if (value < 0) return undefined
    bits = ((bits << 6) | value) & 0xffffff
    const pending = (at % 4) * 2
    if (pending > 0) bytes[written++] = bits >> (6 - pending)
  }
  return bytes
}

/** How many characters carry data, or undefined where padding does not fill up to a multiple of four. */
function lengthWithoutPadding(text: string): number | undefined {
  let length = text.length
  while (length > 0 && text[length - 1] === '=') length--
  const padding = text.length - length
  return padding === 0 || (padding <= 2 && text.length % 4 === 0) ? length : undefined
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0
}

function digit(alphabet: string, value: number): string {
  return alphabet.charAt(value & 63)
}

function valuesOf(alphabet: string): Int8Array {
  const values = new Int8Array(128).fill(-1)
  for (let value = 0; value < alphabet.length; value++) values[alphabet.charCodeAt(value)] = value
  return values
}
