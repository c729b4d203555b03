// Whether there is the OAuth 2.0 API, and where: see docs/operators.md, "OAuth 2.0". Specification: client-server API, "OAuth 2.0 API";
// RFC 8414, section 2.

import type { Env } from '../env.ts'
import { oneOf } from '../settings.ts'

export interface OauthSettings {
  /** What this server is called as an authorization server: where browsers reach it, with a slash at the end. */
  readonly issuer: string
  /** The same without. */
  readonly baseUrl: string
}

/** Below it are the endpoints and pages of the OAuth 2.0 API. */
export const oauthPath = '/_matrix/client/unstable/hearth/oauth'

const loopback = new Set(['localhost', '127.0.0.1', '[::1]'])

/** Undefined where it is off. Throws an Error naming the variable that makes no sense. */
export function oauthSettings(env: Env): OauthSettings | undefined {
  if (oneOf('OAUTH', env.OAUTH || 'off', ['on', 'off']) === 'off') return undefined
  const url = URL.parse(env.PUBLIC_BASE_URL ?? '')
  // RFC 8414: an https URL without query and fragment. Nothing leaves this machine on its way to a loopback address.
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && loopback.has(url.hostname))
  if (!url || !isSafe || url.search !== '' || url.hash !== '' || url.username !== '') {
    throw new Error('OAUTH needs PUBLIC_BASE_URL, an https URL without a query')
  }
  const baseUrl = url.href.replace(/\/+$/, '')
  return { issuer: `${baseUrl}/`, baseUrl }
}

/** The address of an endpoint or a page. */
export function oauthUrl({ baseUrl }: OauthSettings, page: string): string {
  return `${baseUrl}${oauthPath}/${page}`
}
