// Clients that know the legacy API alone send their users to the pages here, and get a login token. Specification: client-server API,
// "OAuth 2.0 aware clients"; MSC3824.

import { html } from 'hono/html'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { formFields } from '../http/form-body.ts'
import { rateLimit } from '../http/rate-limit.ts'
import { log } from '../log.ts'
import { redirectOnce } from '../sso/attempt.ts'
import { handOverPage, handOverUrl } from '../sso/hand-over.ts'
import { parseRedirectUrl } from '../sso/redirect-url.ts'
import { browserOf, checkForm } from './browser.ts'
import { canRegister } from './can-register.ts'
import { type OauthSettings, oauthUrl } from './oauth-settings.ts'
import { currentPage, form, page } from './pages.ts'
import { otherAccount, registrationUrl, signInPage } from './sign-in.ts'

/** GET and POST of the page where users agree. */
export function awareClientRoutes(app: App): void {
  page(app, 'login', { get: askPage, post: agreed })
}

/** Sends who comes from a client to the pages: to sign in, or to get an account. */
export function toPages(
  c: AppContext,
  oauth: OauthSettings,
  { redirectUrl, action }: { readonly redirectUrl: URL; readonly action: 'login' | 'register' | undefined },
): Response {
  const next = `login?${new URLSearchParams({ redirectUrl: redirectUrl.href }).toString()}`
  const registers = action === 'register' && canRegister(c.env)
  return redirectOnce(c, registers ? registrationUrl(oauth, next) : oauthUrl(oauth, next), 302)
}

async function askPage(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const request = currentPage(c, 'login')
  const url = redirectUrlOf(request)
  const browser = await browserOf(c, oauth)
  if (!browser.user) return await signInPage(c, oauth, browser, { next: request })
  const target = { action: 'login', purpose: request, fields: { request } }
  const { userId } = browser.user
  return await handOverPage(c, {
    userId,
    url,
    form: html`${form(oauth, browser, target, html`<button>Continue</button>`)}
    ${otherAccount(oauth, browser, request)}`,
  })
}

async function agreed(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const sent = await formFields(c)
  const request = sent['request'] ?? ''
  const browser = await browserOf(c, oauth)
  // An answer counts for the very client that was shown.
  checkForm(browser, request, sent)
  const url = redirectUrlOf(request)
  if (!browser.user) return redirectOnce(c, oauthUrl(oauth, request), 303)
  const { userId } = browser.user
  // The page that was shown once can be sent many times.
  await rateLimit(c.env, c.env.LOGIN_LIMIT, userId)
  log({ event: 'login_handed_over', user_id: userId })
  return redirectOnce(c, await handOverUrl(c.env, userId, url), 303)
}

function redirectUrlOf(request: string): URL {
  const [, query] = /^login\?(.*)$/.exec(request) ?? []
  const url = parseRedirectUrl(new URLSearchParams(query).get('redirectUrl') ?? '')
  if (url) return url
  throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter redirectUrl: leads to no application')
}
