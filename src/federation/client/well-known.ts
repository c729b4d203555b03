// The delegation in /.well-known/matrix/server of a host, fetched and kept. Server-server API, "Resolving server names",
// step 3.

import type { ServerName } from '../../matrix/event.ts'
import { parseServerName } from '../../matrix/identifiers.ts'
import { isJsonObject, stringProperty } from '../../matrix/json.ts'

/** One answer of a web server. */
export interface WebAnswer {
  readonly status: number
  /** A header, by its name in lower case. */
  readonly header: (name: string) => string | null | undefined
  /** At most 50 KB; undefined if there is more. */
  readonly body: string | undefined
}

/** Asks a web server, without following redirects. Rejects if it cannot be reached. */
export type WebGet = (url: URL) => Promise<WebAnswer>

export type WellKnown =
  | { readonly outcome: 'delegated'; readonly to: ServerName; readonly keepMs: number }
  /** The host answered that it has none, or nothing that is one. */
  | { readonly outcome: 'none' }
  | { readonly outcome: 'failed' }

export const wellKnownMaxBytes = 50 * 1024
const mostRedirects = 5
const minute = 60 * 1000
const hour = 60 * minute
const standardKeepMs = 24 * hour
const longestKeepMs = 48 * hour
const shortestKeepMs = 5 * minute
const firstRetryMs = minute
const capacity = 5000

/** Asks a host once. */
export async function fetchWellKnown(
  hostname: string,
  get: WebGet,
  now: number,
  port = 443,
): Promise<WellKnown> {
  let url = new URL(`https://${hostname}:${port}/.well-known/matrix/server`)
  for (let redirects = 0; redirects <= mostRedirects; redirects++) {
    const answer = await get(url).catch(() => undefined)
    if (!answer || answer.status >= 500) return { outcome: 'failed' }
    const location = answer.status >= 300 && answer.status < 400 ? answer.header('location') : undefined
    if (!location) return readWellKnown(answer, now)
    const next = URL.parse(location, url)
    if (next?.protocol !== 'https:') return { outcome: 'none' }
    url = next
  }
  return { outcome: 'none' }
}

function readWellKnown({ status, header, body }: WebAnswer, now: number): WellKnown {
  if (status !== 200 || body === undefined) return { outcome: 'none' }
  // JSON whatever its Content-Type says.
  const to = parseServerName(delegation(body) ?? '')
  return to === undefined ? { outcome: 'none' } : { outcome: 'delegated', to, keepMs: keepMs(header, now) }
}

function delegation(body: string): string | undefined {
  try {
    const document: unknown = JSON.parse(body)
    return isJsonObject(document) ? stringProperty(document, 'm.server') : undefined
  } catch {
    return undefined
  }
}

function keepMs(header: WebAnswer['header'], now: number): number {
  const control = header('cache-control') ?? ''
  const maxAge = /(?:^|[\s,])max-age="?(\d{1,10})/i.exec(control)?.[1]
  const expires = header('expires')
  let ms = standardKeepMs
  if (/(?:^|[\s,])no-(?:store|cache)\b/i.test(control)) ms = 0
  else if (maxAge !== undefined) ms = Number(maxAge) * 1000
  // RFC 9111: a date that cannot be read lies in the past.
  else if (expires) ms = (Date.parse(expires) || now) - now
  return Math.min(Math.max(ms, shortestKeepMs), longestKeepMs)
}

interface Entry {
  readonly to: ServerName | undefined
  readonly askAgainAt: number
  /** When a delegation that could not be renewed stops to hold. */
  readonly holdsUntil: number
  readonly failures: number
}

/**
 * Look-ups kept in memory: delegations as long as the web server says, errors from a minute on, doubled each time, up to an
 * hour. A delegation that cannot be renewed holds for 48 hours in all.
 */
export function wellKnownCache(
  ask: (hostname: string) => Promise<WellKnown>,
  now: () => number = Date.now,
): (hostname: string) => Promise<ServerName | undefined> {
  const entries = new Map<string, Entry>()
  return async (hostname) => {
    const name = hostname.toLowerCase()
    const known = entries.get(name)
    if (known && known.askAgainAt > now()) return known.to
    const entry = next(known, await ask(name), now())
    entries.delete(name)
    const oldest = entries.size >= capacity ? entries.keys().next().value : undefined
    if (oldest !== undefined) entries.delete(oldest)
    entries.set(name, entry)
    return entry.to
  }
}

function next(known: Entry | undefined, found: WellKnown, now: number): Entry {
  if (found.outcome === 'delegated') {
    return { to: found.to, askAgainAt: now + found.keepMs, holdsUntil: now + longestKeepMs, failures: 0 }
  }
  const failures = (known?.failures ?? 0) + 1
  const askAgainAt = now + Math.min(firstRetryMs * 2 ** (failures - 1), hour)
  const holds = found.outcome === 'failed' && known !== undefined && known.holdsUntil > now
  return { to: holds ? known.to : undefined, askAgainAt, holdsUntil: holds ? known.holdsUntil : 0, failures }
}
