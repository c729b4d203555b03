// A sign-in on its way: begun in a browser, which alone can go on with it. The provider gets a `state` to send back; a cookie of
// the attempt's own stays in the browser, so that nobody signs somebody else in by a link.
// Specification: client-server API, "Redirecting to the Authentication server" and its security considerations.

import { getCookie, setCookie } from 'hono/cookie'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import type { AppContext } from '../http/app-type.ts'
import { newSecretToken, tokenHash } from '../storage/secret-token.ts'
import {
  findSsoAttempt,
  insertSsoAttempt,
  keepSsoIdentity,
  type SsoAttempt,
  type SsoIdentity,
} from '../storage/sso-attempts.ts'
import { authorizationUrl, type Expected } from './openid-client.ts'
import { SsoRefusal } from './refusal.ts'
import type { SsoProvider, SsoSettings } from './sso-settings.ts'

/** Below it are the pages of a sign-in, and what providers send browsers back to. */
export const ssoPath = '/_matrix/client/unstable/hearth/sso'

const cookieLifetimeS = 30 * 60

/** What somebody signs in for: a client's login, or a session of interactive authentication. */
export type SsoPurpose =
  | { readonly redirectUrl: URL; readonly action: 'login' | 'register' | undefined }
  | { readonly authSession: string }

/** The settings. SsoRefusal where there is no single sign-on. */
export function requireSso(env: Env): SsoSettings {
  const { sso } = config(env)
  if (sso) return sso
  throw new SsoRefusal('not-configured')
}

/** A provider by its id. SsoRefusal for one that there is not, or not any more. */
export function providerOf({ providers }: SsoSettings, id: string): SsoProvider {
  const found = providers.find((provider) => provider.id === id)
  if (found) return found
  throw new SsoRefusal('unknown-provider')
}

/** Sends the browser to a provider. SsoRefusal where that does not answer. */
export async function startAttempt(
  c: AppContext,
  sso: SsoSettings,
  provider: SsoProvider,
  purpose: SsoPurpose,
): Promise<Response> {
  const [state, browser, nonce, codeVerifier] = [
    newSecretToken(),
    newSecretToken(),
    newSecretToken(),
    newSecretToken(),
  ]
  const action = 'action' in purpose ? purpose.action : undefined
  const location = await authorizationUrl(
    provider,
    { nonce, codeVerifier, redirectUri: callbackUrl(sso, provider.id) },
    { state, prompt: action === 'register' ? 'create' : undefined },
  )
  const id = tokenHash(state)
  await insertSsoAttempt(c.env, {
    id,
    browser: tokenHash(browser),
    provider: provider.id,
    nonce,
    codeVerifier,
    redirectUrl: 'redirectUrl' in purpose ? purpose.redirectUrl.href : null,
    action: action ?? null,
    authSession: 'authSession' in purpose ? purpose.authSession : null,
  })
  setAttemptCookie(c, sso, id, browser, cookieLifetimeS)
  return redirectOnce(c, location, 302)
}

/** A live attempt of the browser that asks. SsoRefusal for any other. */
export async function ownAttempt(c: AppContext, sso: SsoSettings, id: string): Promise<SsoAttempt> {
  const attempt = await findSsoAttempt(c.env, id)
  if (!attempt) throw new SsoRefusal('unknown-attempt')
  const cookie = getCookie(c, cookieName(sso, id))
  if (cookie === undefined || tokenHash(cookie) !== attempt.browser) throw new SsoRefusal('another-browser')
  return attempt
}

/** Takes the cookie of an attempt away that is over. */
export function forgetAttempt(c: AppContext, sso: SsoSettings, id: string): void {
  setAttemptCookie(c, sso, id, '', 0)
}

/**
 * Keeps what the provider has said of an attempt. Its browser gets another cookie: whoever had planted the first one there, as
 * sites beside this one may, does not come to what has become of it.
 */
export async function keepAnswer(
  c: AppContext,
  sso: SsoSettings,
  { id }: SsoAttempt,
  identity: SsoIdentity,
): Promise<void> {
  const browser = newSecretToken()
  await keepSsoIdentity(c.env, id, identity, tokenHash(browser))
  setAttemptCookie(c, sso, id, browser, cookieLifetimeS)
}

/** What the answer to an attempt is checked against. */
export function expectedAnswer(sso: SsoSettings, { nonce, codeVerifier, provider }: SsoAttempt): Expected {
  return { nonce, codeVerifier, redirectUri: callbackUrl(sso, provider) }
}

/** The address of one of the pages of an attempt. */
export function pageUrl({ baseUrl }: SsoSettings, page: 'account' | 'confirm', id: string): string {
  return `${baseUrl}${ssoPath}/${page}?attempt=${id}`
}

/** A redirect to an address that is good once, and nobody else's business. */
export function redirectOnce(c: AppContext, location: string, status: 302 | 303): Response {
  c.header('Cache-Control', 'no-store')
  c.header('Referrer-Policy', 'no-referrer')
  return c.redirect(location, status)
}

// RFC 9700, "Mix-Up Defense via Distinct Redirect URIs": what one provider sends back is never taken for another's.
function callbackUrl({ baseUrl }: SsoSettings, provider: string): string {
  return `${baseUrl}${ssoPath}/callback/${provider}`
}

// Each attempt has its own: several can be on their way in several tabs. No other site can set one with the prefix, not even a
// neighbour below the same domain (RFC 6265bis, "The __Host- Prefix").
function cookieName(sso: SsoSettings, id: string): string {
  return `${isSecure(sso) ? '__Host-' : ''}hearth_sso_${id.slice(0, 16)}`
}

function isSecure({ baseUrl }: SsoSettings): boolean {
  return baseUrl.startsWith('https:')
}

function setAttemptCookie(c: AppContext, sso: SsoSettings, id: string, value: string, maxAge: number): void {
  const { pathname } = new URL(sso.baseUrl)
  setCookie(c, cookieName(sso, id), value, {
    // The prefix wants the root.
    path: isSecure(sso) ? '/' : `${pathname.replace(/\/+$/, '')}${ssoPath}`,
    httpOnly: true,
    // Strict would keep it back when the provider sends the browser here. With Lax no other site's form brings it along.
    sameSite: 'Lax',
    secure: isSecure(sso),
    maxAge,
  })
}
