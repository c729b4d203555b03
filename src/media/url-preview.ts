// Previews of links, for clients that must not ask the page themselves. Pages are fetched once for all users and kept for a while.
// Specification: client-server API, "Content repository".

import { createHash } from 'node:crypto'
import * as v from 'valibot'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import { sharedWork } from '../federation/client/shared-work.ts'
import { checkedPageUrl } from '../federation/client/web-request.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { requireSession } from '../http/session.ts'
import { errorMessage, log } from '../log.ts'
import { addUrlPreview, findUrlPreview, forgetUrlPreviews } from '../storage/url-previews.ts'
import { acceptedLanguages } from '../web/accepted-languages.ts'
import { fetchPreview, type Preview } from './fetch-preview.ts'

const longestUrl = 4096
const mostLanguages = 4
const keptMs = 30 * 24 * 60 * 60_000
const betweenPruningMs = 60 * 60_000
const failureMs = 3 * 60_000
const failuresKept = 2000
// A page and two images.
const longestFetchMs = 60_000

const previewQuery = v.object({
  url: v.pipe(v.string(), v.maxLength(longestUrl, `has at most ${longestUrl} characters`)),
  ts: v.optional(
    v.pipe(v.string(), v.regex(/^-?\d{1,16}$/, 'must be a number of milliseconds'), v.transform(Number)),
  ),
})

const fetches = sharedWork(longestFetchMs)
// Until when pages that could not be had are not asked for again, by page. Of this isolate: a row each would be a way to fill D1.
const failures = new Map<string, number>()
let pruneAt = 0

/** GET /preview_url, with the deprecated path and the one that was proposed. */
export function urlPreviewRoutes(app: App): void {
  // Guests are not among those that the specification opens it to.
  const signedIn = requireSession()

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url
  app.get('/_matrix/client/v1/media/preview_url', signedIn, (c) => preview(c))

  // As it was proposed, for clients of before v1.11.
  app.get('/_matrix/client/unstable/org.matrix.msc3916/media/preview_url', signedIn, (c) => preview(c))

  // Deprecated. https://spec.matrix.org/v1.19/client-server-api/#get_matrixmediav3preview_url
  app.get('/_matrix/media/v3/preview_url', signedIn, (c) => preview(c))
}

async function preview(c: AppContext): Promise<Response> {
  const { env } = c
  // "Unsupported endpoints".
  if (!config(env).urlPreviews)
    throw new MatrixError('M_UNRECOGNIZED', 404, 'This server makes no previews of URLs')
  const { url, ts } = queryParams(c, previewQuery)
  const location = pageLocation(url)
  const languages = wantedLanguages(c.req.header('Accept-Language'))
  const page = createHash('sha256').update(`${languages}\n${location}`).digest('base64url')
  await rateLimitUser(env, env.SEND_LIMIT, c.var.session, 'preview:')

  const now = Date.now()
  // The version of that time, or else a newer one.
  const then = ts === undefined || ts >= now ? undefined : await findUrlPreview(env, page, ts)
  const known = then ?? (await findUrlPreview(env, page, now))
  if (known) return answer(known.answer)
  if ((failures.get(page) ?? 0) > now) return answer('{}')
  await rateLimitUser(env, env.PREVIEW_LIMIT, c.var.session)
  await (fetches.running(page) ?? fetches.start([page], bringHere(env, { page, location, languages })))
  c.executionCtx.waitUntil(prune(env, now))
  const made = failures.has(page) ? undefined : await findUrlPreview(env, page, Date.now())
  // What is known of a page may be nothing. Why is not told: it would show what of our network answers.
  return answer(made?.answer ?? '{}')
}

function answer(json: string): Response {
  return new Response(json, { headers: { 'Content-Type': 'application/json' } })
}

// What stands behind the # is for the browser.
function pageLocation(text: string): string {
  try {
    const url = checkedPageUrl(text)
    url.hash = ''
    return url.href
  } catch {
    throw new MatrixError(
      'M_INVALID_PARAM',
      400,
      'Invalid field url: it must be an http or https URL without a password',
    )
  }
}

// The client's, without what would make each reader's request another one.
function wantedLanguages(header: string | undefined): string {
  const tags = acceptedLanguages(header?.slice(0, 500)).filter((tag) => tag.length <= 20)
  const weighted = tags.slice(0, mostLanguages).map((tag, at) => (at === 0 ? tag : `${tag};q=0.${9 - at}`))
  return weighted.length === 0 ? 'en' : weighted.join(', ')
}

interface Wanted {
  readonly page: string
  readonly location: string
  readonly languages: string
}

// Never rejects: nobody may be waiting any more.
async function bringHere(env: Env, { page, location, languages }: Wanted): Promise<void> {
  let made: Preview
  try {
    made = await fetchPreview(env, location, languages)
  } catch {
    // Not logged: which links users share is theirs.
    noteFailure(page)
    return
  }
  failures.delete(page)
  const now = Date.now()
  const row = {
    page,
    fetchedAt: now,
    expiresAt: now + made.lifetimeMs,
    answer: JSON.stringify(made.properties),
  }
  await addUrlPreview(env, row).catch((error: unknown) => notKept(error))
}

function noteFailure(page: string): void {
  failures.delete(page)
  const oldest = failures.size >= failuresKept ? failures.keys().next().value : undefined
  if (oldest !== undefined) failures.delete(oldest)
  failures.set(page, Date.now() + failureMs)
}

// As previews are made there is no timer. Never rejects.
async function prune(env: Env, now: number): Promise<void> {
  if (now < pruneAt) return
  pruneAt = now + betweenPruningMs
  await forgetUrlPreviews(env, now - keptMs).catch((error: unknown) => notKept(error))
}

function notKept(error: unknown): void {
  log({ event: 'url_preview_not_kept', error: errorMessage(error) })
}
