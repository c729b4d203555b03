// The text of a web page from its bytes, in whatever encoding it says that it has. HTML (WHATWG), "Determining the character
// encoding", as far as pages of today need it.

// Where a page must have named its encoding.
const prescanBytes = 1024

/** The bytes of a page as text. `contentType` is the header. Never throws: what cannot be read becomes U+FFFD. */
export function decodePage(bytes: Uint8Array, contentType: string): string {
  const labels = [byteOrderMark(bytes), charsetIn(contentType), declaredCharset(bytes), 'utf-8']
  for (const label of labels) {
    const decoder = label === undefined ? undefined : decoderOf(label)
    if (decoder) return decoder.decode(bytes)
  }
  return new TextDecoder().decode(bytes)
}

function byteOrderMark(bytes: Uint8Array): string | undefined {
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return 'utf-8'
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be'
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le'
  return undefined
}

function charsetIn(text: string): string | undefined {
  return /charset\s*=\s*["']?\s*([\w.:-]{1,40})/i.exec(text)?.[1]
}

// `<meta charset>`, `<meta http-equiv>` with a content type, or the declaration of XML.
function declaredCharset(bytes: Uint8Array): string | undefined {
  const start = String.fromCharCode(...bytes.subarray(0, prescanBytes))
  const meta = /<meta\s[^>]*charset[^>]*/i.exec(start)?.[0]
  const label =
    meta === undefined ? /^<\?xml[^>]*encoding=["']([\w.-]{1,40})/.exec(start)?.[1] : charsetIn(meta)
  // A page that could be read this far is in no such encoding, whatever it says.
  return label !== undefined && /^utf-?16/i.test(label) ? 'utf-8' : label
}

function decoderOf(label: string): TextDecoder | undefined {
  try {
    return new TextDecoder(label)
  } catch (error) {
    // There is no encoding of that name.
    if (error instanceof RangeError || error instanceof TypeError) return undefined
    throw error
  }
}
