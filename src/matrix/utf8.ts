// Lengths in UTF-8 bytes, which is what the specification limits. Appendices, "Identifier Grammar";
// client-server API, "Size limits".

/** The number of bytes of a text in UTF-8. A lone surrogate counts as the replacement character, three bytes. */
export function utf8Length(text: string): number {
  let bytes = text.length
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit < 0x80) continue
    bytes += unit < 0x800 ? 1 : 2
    if (isHighSurrogate(unit) && isLowSurrogate(text.charCodeAt(at + 1))) at++
  }
  return bytes
}

/** Whether a text takes at most `limit` bytes in UTF-8. Counts only where the number of UTF-16 units leaves doubt. */
export function fitsInBytes(text: string, limit: number): boolean {
  if (text.length > limit) return false
  return text.length * 3 <= limit || utf8Length(text) <= limit
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit < 0xe000
}
