// Content types of media: what an uploader may claim, and what browsers may show.

const mediaType = /^[A-Za-z0-9!#$&^_.+-]{1,127}\/[A-Za-z0-9!#$&^_.+-]{1,127}(?:\s*;[\x20-\x7e]{0,255})?$/

/** The content type to store for what an upload claims: the claim, where it has the form of one. */
export function storedContentType(claimed: string | undefined): string {
  return claimed !== undefined && mediaType.test(claimed) ? claimed : 'application/octet-stream'
}

// Specification: client-server API, "Serving inline content".
const inlineTypes = new Set([
  'text/css',
  'text/plain',
  'text/csv',
  'application/json',
  'application/ld+json',
  'image/jpeg',
  'image/gif',
  'image/png',
  'image/apng',
  'image/webp',
  'image/avif',
  'video/mp4',
  'video/webm',
  'video/ogg',
  'video/quicktime',
  'audio/mp4',
  'audio/webm',
  'audio/aac',
  'audio/mpeg',
  'audio/ogg',
  'audio/wave',
  'audio/wav',
  'audio/x-wav',
  'audio/x-pn-wav',
  'audio/flac',
  'audio/x-flac',
])

/** Whether content of a type may be shown in place, parameters and case aside. Anything that can hold script may not. */
export function mayBeInline(contentType: string): boolean {
  const [essence = ''] = contentType.split(';')
  return inlineTypes.has(essence.trim().toLowerCase())
}
