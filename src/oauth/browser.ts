// The browser in front of the pages: a cookie of its own, who is signed in with it, and that it was they who sent a form.
// RFC 9700, section 4.7 (CSRF); RFC 6265.

import { timingSafeEqual } from 'node:crypto'
import { getCookie, setCookie } from 'hono/cookie'
import { MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import { log } from '../log.ts'
import { browserUser, endBrowserSession, insertBrowserSession } from '../storage/browser-sessions.ts'
import { newSecretToken, tokenHash } from '../storage/secret-token.ts'
import type { User } from '../storage/users.ts'
import { type OauthSettings, oauthPath } from './oauth-settings.ts'

// Longer than anybody stays signed in: who waits for a mail goes on with the page they have, and mails may take hours.
const cookieLifetimeS = 24 * 60 * 60

export interface Browser {
  /** A secret between the browser and this server. */
  readonly cookie: string
  /** Who is signed in. */
  readonly user: User | undefined
}

export type SignedIn = Browser & { readonly user: User }

/** The browser that asks; one that is new gets its cookie. */
export async function browserOf(c: AppContext, oauth: OauthSettings): Promise<Browser> {
  const cookie = getCookie(c, cookieName(oauth))
  if (cookie !== undefined) return { cookie, user: await browserUser(c.env, tokenHash(cookie)) }
  return { cookie: giveCookie(c, oauth), user: undefined }
}

/**
 * Signs a user in, and whoever was before out. The cookie is another one from then on, so that nobody knows it who may have set the
 * one before.
 */
export async function signIn(
  c: AppContext,
  oauth: OauthSettings,
  before: Browser,
  user: Pick<User, 'userId'>,
): Promise<void> {
  const cookie = giveCookie(c, oauth)
  await insertBrowserSession(c.env, tokenHash(cookie), {
    userId: user.userId,
    instead: tokenHash(before.cookie),
  })
  log({ event: 'browser_signed_in', user_id: user.userId })
}

/** Signs whoever is signed in out. */
export async function signOut(c: AppContext, oauth: OauthSettings, browser: Browser): Promise<void> {
  await endBrowserSession(c.env, tokenHash(browser.cookie))
  giveCookie(c, oauth)
}

/** Proves that a form is of a page that this browser was shown, for what the page was about. */
export function formToken({ cookie }: Browser, purpose: string): string {
  return tokenHash(`form\n${purpose}\n${cookie}`)
}

type Form = Readonly<Record<string, string>>

/** Whether a form is of a page that this browser was shown, not one of another site, nor of before somebody signed in or out. */
export function isOwnForm(browser: Browser, purpose: string, form: Form): boolean {
  const expected = Buffer.from(formToken(browser, purpose))
  const given = Buffer.from(form['form'] ?? '')
  return given.length === expected.length && timingSafeEqual(given, expected)
}

/** Refuses any other form. 403 M_FORBIDDEN. */
export function checkForm(browser: Browser, purpose: string, form: Form): void {
  if (isOwnForm(browser, purpose, form)) return
  throw new MatrixError(
    'M_FORBIDDEN',
    403,
    'This page has expired, or your browser keeps no cookies of this server. Please start again in your application.',
  )
}

function giveCookie(c: AppContext, oauth: OauthSettings): string {
  const { pathname } = new URL(oauth.baseUrl)
  const cookie = newSecretToken()
  setCookie(c, cookieName(oauth), cookie, {
    // The prefix wants the root.
    path: isSecure(oauth) ? '/' : `${pathname.replace(/\/+$/, '')}${oauthPath}`,
    httpOnly: true,
    // Strict would keep it back when an application opens the page. With Lax no other site's form brings it along.
    sameSite: 'Lax',
    secure: isSecure(oauth),
    maxAge: cookieLifetimeS,
  })
  return cookie
}

// No other site can set one with the prefix, not even a neighbour below the same domain (RFC 6265bis, "The __Host- Prefix"): whoever
// knew the cookie of a browser could send its forms, or have somebody go on in an account of their own.
function cookieName(oauth: OauthSettings): string {
  return `${isSecure(oauth) ? '__Host-' : ''}hearth_oauth`
}

function isSecure({ baseUrl }: OauthSettings): boolean {
  return baseUrl.startsWith('https:')
}

/** Whether somebody may sign in on the pages, as at login. Refuses with what they are told. */
export function refuseUnfit(user: User | undefined): asserts user is User {
  // As for a wrong password: who has no account any more is told nothing else.
  if (!user || user.deactivatedAt !== null || user.guest) {
    throw new MatrixError('M_FORBIDDEN', 403, 'Invalid user name or password')
  }
  if (user.locked) {
    throw new MatrixError(
      'M_USER_LOCKED',
      403,
      'Your account is locked. Please ask those who run this server.',
    )
  }
}
