// Our media for other servers: what it is and its bytes in one answer of two parts. Server-server API, "Content Repository".

import { randomUUID } from 'node:crypto'
import { textParam } from '../../client/path-params.ts'
import type { AppContext } from '../../http/app-type.ts'
import { queryParams } from '../../http/json-body.ts'
import { downloadQuery } from '../../media/download.ts'
import { ownMedia } from '../../media/requested-media.ts'
import { serveContent } from '../../media/serve-content.ts'
import { thumbnail, thumbnailQuery } from '../../media/thumbnail.ts'
import type { FederationRouter } from './router.ts'

/** GET /media/download/{mediaId}, /media/thumbnail/{mediaId}. */
export function contentRepositoryRoutes(router: FederationRouter): void {
  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1mediadownloadmediaid
  router.get('/_matrix/federation/v1/media/download/:mediaId', (c) => download(c))

  // https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1mediathumbnailmediaid
  router.get('/_matrix/federation/v1/media/thumbnail/:mediaId', (c) => askedThumbnail(c))

  // As it was proposed, for servers of before v1.11.
  router.get('/_matrix/federation/unstable/org.matrix.msc3916.v2/media/download/:mediaId', (c) => download(c))
  router.get('/_matrix/federation/unstable/org.matrix.msc3916.v2/media/thumbnail/:mediaId', (c) =>
    askedThumbnail(c),
  )
}

async function download(c: AppContext): Promise<Response> {
  const media = await ownMedia(c.env, textParam(c, 'mediaId'), queryParams(c, downloadQuery).timeout_ms)
  return multipart(await serveContent(c.env.MEDIA, unconditional(c), media))
}

async function askedThumbnail(c: AppContext): Promise<Response> {
  const query = queryParams(c, thumbnailQuery)
  const media = await ownMedia(c.env, textParam(c, 'mediaId'), query.timeout_ms)
  return multipart(await thumbnail(c, media, query, unconditional(c)))
}

// The whole content, whatever part of it the headers ask for: a part would not fit into the form of the answer.
function unconditional(c: AppContext): Request {
  return new Request(c.req.url)
}

/** Since v1.11: metadata, of which there is none yet, then the content with headers of its own. */
function multipart(content: Response): Response {
  const boundary = randomUUID()
  const headers = ['Content-Type', 'Content-Disposition'].flatMap((name) => {
    const value = content.headers.get(name)
    return value === null ? [] : [`${name}: ${value}\r\n`]
  })
  const utf8 = new TextEncoder()
  const before = utf8.encode(
    `--${boundary}\r\nContent-Type: application/json\r\n\r\n{}\r\n--${boundary}\r\n${headers.join('')}\r\n`,
  )
  const after = utf8.encode(`\r\n--${boundary}--\r\n`)
  const framed = new TransformStream<Uint8Array, Uint8Array>({
    start: (controller) => controller.enqueue(before),
    flush: (controller) => controller.enqueue(after),
  })
  const body = content.body?.pipeThrough(framed) ?? Buffer.concat([before, after])
  return new Response(body, { headers: { 'Content-Type': `multipart/mixed; boundary=${boundary}` } })
}
