// The file name in a Content-Disposition of another server. RFC 6266, RFC 5987.

const longestFilename = 1024
const parameter = /;\s*([!#$&+.^_`|~\w-]+\*?)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))/g

/** The file name, if there is one: the form that says how it is encoded before the plain one. */
export function dispositionFilename(disposition: string | undefined): string | null {
  const found = new Map<string, string>()
  for (const [, name = '', quoted, plain = ''] of (disposition ?? '').matchAll(parameter)) {
    const key = name.toLowerCase()
    if (!found.has(key)) found.set(key, quoted?.replace(/\\(.)/g, '$1') ?? plain.trim())
  }
  const filename = decoded(found.get('filename*')) ?? found.get('filename') ?? ''
  return filename === '' ? null : filename.slice(0, longestFilename).toWellFormed()
}

// charset'language'percent-encoded
function decoded(text: string | undefined): string | undefined {
  const encoded = /^utf-8'[^']*'(.*)$/is.exec(text ?? '')?.[1]
  try {
    return encoded === undefined ? undefined : decodeURIComponent(encoded)
  } catch {
    return undefined
  }
}
