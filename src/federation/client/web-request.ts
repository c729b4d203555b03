// Requests to web servers that somebody else names: never signed, never into private networks. The other end, where there is a
// launcher, is scripts/federation-transport.ts.

import type { Env } from '../../env.ts'
import { isIpLiteral } from './discovery.ts'

const mostRedirects = 3
const mostPageRedirects = 5

/** Asks for a URL, following redirects. Rejects unless it is one of https and leads to public addresses. */
export async function webRequest(env: Env, location: string, signal: AbortSignal): Promise<Response> {
  let url = checkedUrl(location)
  for (let redirects = 0; redirects <= mostRedirects; redirects++) {
    const response = await send(env, url, { signal })
    const next = redirectTarget(response)
    if (next === undefined) return response
    await response.body?.cancel()
    url = checkedUrl(next, url)
  }
  throw new Error('too many redirects')
}

/**
 * Posts JSON to a URL. Rejects unless it is one of https at a public address. Redirects are not followed: what is posted is
 * for the one who was named.
 */
export async function webPost(
  env: Env,
  location: string,
  json: string,
  signal: AbortSignal,
): Promise<Response> {
  return await send(env, checkedUrl(location), { json, signal })
}

export interface WebCall {
  /** JSON text to post; without it the request is a GET. */
  readonly body?: string
  readonly authorization?: string
}

/** Asks for something, or posts it, in the name of somebody. Otherwise as `webPost`. */
export async function webCall(
  env: Env,
  location: string,
  { body, authorization }: WebCall,
  signal: AbortSignal,
): Promise<Response> {
  return await send(env, checkedUrl(location), {
    signal,
    ...(body === undefined ? {} : { json: body }),
    ...(authorization === undefined ? {} : { authorization }),
  })
}

export interface WebPage {
  readonly response: Response
  /** Where it was found, after redirects. */
  readonly url: URL
}

/**
 * Asks for what a user links to, by http or https. Rejects unless that, and each of the redirects on the way, leads to a public
 * address and to the port that is usual for it. The launcher allows others where it allows private addresses.
 */
export async function webPage(
  env: Env,
  location: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<WebPage> {
  let url = checkedPageUrl(location)
  for (let redirects = 0; redirects <= mostPageRedirects; redirects++) {
    if (!env.FEDERATION_TRANSPORT && !['', '80', '443'].includes(url.port))
      throw new Error('it leads to an unusual port')
    const response = await send(env, url, { page: headers, signal })
    const next = redirectTarget(response)
    if (next === undefined) return { response, url }
    await response.body?.cancel()
    url = checkedPageUrl(next, url)
  }
  throw new Error('too many redirects')
}

/** A URL that a page can be at. Throws for all but http and https, and for those with a password. */
export function checkedPageUrl(text: string, base?: URL): URL {
  return checkedUrl(text, base, ['https:', 'http:'])
}

/** Where an answer sends its reader, if it does. */
export function redirectTarget({ status, headers }: Response): string | undefined {
  return [301, 302, 303, 307, 308].includes(status) ? (headers.get('Location') ?? undefined) : undefined
}

/** A GET, or a POST of JSON where there is some. */
interface Sent {
  readonly json?: string
  readonly authorization?: string
  /** Headers of a request for what a user links to. */
  readonly page?: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

async function send({ FEDERATION_TRANSPORT: launcher }: Env, url: URL, sent: Sent): Promise<Response> {
  const { json, authorization, page, signal } = sent
  const method = json === undefined ? 'GET' : 'POST'
  const headers: Record<string, string> =
    json === undefined ? { ...page } : { 'Content-Type': 'application/json' }
  const named = (name: string) => (authorization === undefined ? {} : { [name]: authorization })
  if (!launcher) {
    // Private addresses are out of reach: compatibility flag `global_fetch_strictly_public`.
    if (isIpLiteral(url.hostname))
      throw new Error('this platform connects to names alone, not to IP addresses')
    const body = json === undefined ? {} : { body: json }
    return await fetch(url, {
      method,
      headers: { ...headers, ...named('Authorization') },
      ...body,
      redirect: 'manual',
      signal,
    })
  }
  const response = await launcher.fetch('http://federation-transport/', {
    method: 'POST',
    headers: {
      ...headers,
      ...named('X-Hearth-Authorization'),
      ...(page && { 'X-Hearth-Page': 'on' }),
      'X-Hearth-Url': url.href,
      'X-Hearth-Method': method,
    },
    body: json ?? '',
    redirect: 'manual',
    signal,
  })
  const status = Number(response.headers.get('X-Hearth-Status'))
  // Without that it is the launcher who answers, not the server.
  if (status < 200 || status > 599) throw new Error(await response.text())
  const bodiless = status === 204 || status === 205 || status === 304
  return new Response(bodiless ? null : response.body, { status, headers: response.headers })
}

function checkedUrl(text: string, base?: URL, protocols: readonly string[] = ['https:']): URL {
  const url = URL.parse(text, base)
  if (!url || !protocols.includes(url.protocol))
    throw new Error('it leads to something else than an https URL')
  if (url.username !== '' || url.password !== '') throw new Error('it leads to a URL with a password')
  return url
}
