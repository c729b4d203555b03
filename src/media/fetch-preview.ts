// A preview made: the page fetched, read, and its image brought here. The page is anybody's, and so is bounded in time, in size and
// in where it leads. Specification: client-server API, GET /preview_url.

import type { Env } from '../env.ts'
import { bodyChunks } from '../federation/client/body-chunks.ts'
import { webPage, type WebPage } from '../federation/client/web-request.ts'
import { implementation } from '../version.ts'
import { describePage } from './page-properties.ts'
import { readPageMetadata, type PageImage } from './page-metadata.ts'
import { decodePage } from './page-text.ts'
import { type ImageProperties, isImageType, storePreviewImage } from './preview-image.ts'

export interface Preview {
  readonly properties: Readonly<Record<string, string | number>>
  /** How long the page may be taken to stay as it is, in milliseconds. */
  readonly lifetimeMs: number
}

const longestMs = 10_000
// Pages say what they are at their beginning.
const maxPageBytes = 1024 * 1024
const mostImages = 2

const minute = 60_000
const shortestLifetime = 10 * minute
const usualLifetime = 60 * minute
const longestLifetime = 24 * 60 * minute

// Servers want to know whom they talk to, and answer bots with what is meant for previews.
const userAgent = `${implementation.name}/${implementation.version} (bot; Matrix homeserver, for link previews)`

/** Fetches and describes what is at a URL, in one of the languages asked for. Rejects when it cannot be had. */
export async function fetchPreview(env: Env, url: string, languages: string): Promise<Preview> {
  const headers = { 'User-Agent': userAgent, 'Accept-Language': languages }
  const deadline = Date.now() + longestMs
  const page = await answered(env, url, {
    ...headers,
    Accept: 'text/html, application/xhtml+xml, image/*;q=0.8',
  })
  const lifetimeMs = lifetime(page.response.headers.get('Cache-Control') ?? '')
  const contentType = page.response.headers.get('Content-Type') ?? ''
  if (isImageType(contentType)) {
    return { properties: { ...(await storePreviewImage(env, page.response, deadline)) }, lifetimeMs }
  }
  if (!/^(?:text\/html|application\/xhtml\+xml)\s*(?:;|$)/i.test(contentType)) {
    void page.response.body?.cancel().catch(ignored)
    return { properties: {}, lifetimeMs }
  }
  const html = decodePage(await beginning(page.response, deadline), contentType)
  const { properties, images } = describePage(await readPageMetadata(html), page.url)
  return { properties: { ...properties, ...(await firstImage(env, images, headers)) }, lifetimeMs }
}

async function answered(env: Env, url: string, headers: Record<string, string>): Promise<WebPage> {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(), longestMs)
  try {
    const page = await webPage(env, url, headers, controller.signal)
    if (page.response.ok) return page
    void page.response.body?.cancel().catch(ignored)
    throw new Error(`it answers ${page.response.status}`)
  } finally {
    clearTimeout(timer)
  }
}

async function beginning({ body }: Response, deadline: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of bodyChunks(body, 'the page', deadline)) {
    chunks.push(chunk)
    length += chunk.byteLength
    if (length >= maxPageBytes) break
  }
  return Buffer.concat(chunks).subarray(0, maxPageBytes)
}

async function firstImage(
  env: Env,
  candidates: readonly PageImage[],
  headers: Record<string, string>,
): Promise<(ImageProperties & { readonly 'og:image:alt'?: string }) | undefined> {
  for (const { source, alt } of candidates.slice(0, mostImages)) {
    const image = await imageAt(env, source, headers)
    if (image) return { ...image, ...(alt !== undefined && { 'og:image:alt': alt }) }
  }
  return undefined
}

async function imageAt(
  env: Env,
  source: string,
  headers: Record<string, string>,
): Promise<ImageProperties | undefined> {
  const deadline = Date.now() + longestMs
  try {
    const { response } = await answered(env, source, {
      ...headers,
      Accept: 'image/png, image/jpeg, image/gif, image/webp',
    })
    if (isImageType(response.headers.get('Content-Type') ?? ''))
      return await storePreviewImage(env, response, deadline)
    void response.body?.cancel().catch(ignored)
  } catch {
    // A page without its image is better than none.
  }
  return undefined
}

// RFC 9111, section 5.2.2, roughly: neither is asked again at once, nor never again.
function lifetime(cacheControl: string): number {
  if (/no-store|no-cache/i.test(cacheControl)) return shortestLifetime
  const seconds = /(?:^|[,\s])max-age="?(\d{1,10})/i.exec(cacheControl)?.[1]
  if (seconds === undefined) return usualLifetime
  return Math.min(longestLifetime, Math.max(shortestLifetime, Number(seconds) * 1000))
}

function ignored(): void {
  // A body that nobody reads cannot fail anybody.
}
