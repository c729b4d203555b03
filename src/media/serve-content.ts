// Answers with content from R2: whole or in part, with headers that keep a browser from running it.
// Specification: client-server API, "Content repository" and "Serving inline content".

import { MatrixError } from '../errors.ts'
import { readRange } from './byte-range.ts'
import { mayBeInline } from './content-type.ts'

export interface Content {
  readonly object: string
  readonly size: number
  readonly contentType: string
  readonly filename: string | null
}

/** The answer to a GET of some content. Honours Range, If-Range and If-None-Match. 404 when R2 does not have it. */
export async function serveContent(bucket: R2Bucket, request: Request, content: Content): Promise<Response> {
  const etag = `"${content.object.slice(content.object.lastIndexOf('/') + 1)}"`
  const headers = contentHeaders(content, etag)
  if (request.headers.get('If-None-Match')?.includes(etag))
    return new Response(null, { status: 304, headers })

  // A condition that does not hold makes it a request for the whole.
  const condition = request.headers.get('If-Range')
  const header = condition === null || condition === etag ? request.headers.get('Range') : null
  const range = readRange(header, content.size)
  if (range === 'unsatisfiable') {
    headers.set('Content-Range', `bytes */${content.size}`)
    return new Response(null, { status: 416, headers })
  }
  const stored = await bucket.get(content.object, range && { range })
  if (stored === null) throw new MatrixError('M_NOT_FOUND', 404, 'Media not found')
  if (!range) return new Response(fixedLength(stored.body, content.size), { headers })
  const last = range.offset + range.length - 1
  headers.set('Content-Range', `bytes ${range.offset}-${last}/${content.size}`)
  return new Response(fixedLength(stored.body, range.length), { status: 206, headers })
}

// Gives the answer a Content-Length.
function fixedLength(body: ReadableStream, length: number): ReadableStream {
  return body.pipeThrough(new FixedLengthStream(length))
}

/** The headers of content, for answers that have it in memory as well. */
export function contentHeaders(content: Omit<Content, 'object' | 'size'>, etag: string): Headers {
  const disposition = mayBeInline(content.contentType) ? 'inline' : 'attachment'
  return new Headers({
    'Content-Type': content.contentType,
    'Content-Disposition': contentDisposition(disposition, content.filename),
    'Content-Security-Policy':
      "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';",
    'Cross-Origin-Resource-Policy': 'cross-origin',
    'X-Content-Type-Options': 'nosniff',
    'Accept-Ranges': 'bytes',
    // Content never changes, but it is for those with a session.
    'Cache-Control': 'private, max-age=31536000, immutable',
    ETag: etag,
  })
}

/** A Content-Disposition with a file name in the plain form of RFC 6266, or in that of RFC 5987 where it needs one. */
export function contentDisposition(disposition: 'inline' | 'attachment', filename: string | null): string {
  if (filename === null) return disposition
  if (/^[\x20-\x7e]+$/.test(filename) && !/["\\%]/.test(filename))
    return `${disposition}; filename="${filename}"`
  const encoded = encodeURIComponent(filename.toWellFormed()).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `${disposition}; filename*=utf-8''${encoded}`
}
