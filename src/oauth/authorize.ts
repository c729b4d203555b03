// The authorization endpoint: who comes from a client signs in, is asked, and goes back. Specification: client-server API,
// "Authorisation code flow", "User registration"; RFC 6749, section 4.1; RFC 9700.

import { html } from 'hono/html'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { formFields } from '../http/form-body.ts'
import { rateLimit } from '../http/rate-limit.ts'
import { log } from '../log.ts'
import { redirectOnce } from '../sso/attempt.ts'
import { cspSource } from '../sso/redirect-url.ts'
import { insertCode } from '../storage/oauth-codes.ts'
import { newSecretToken, tokenHash } from '../storage/secret-token.ts'
import type { User } from '../storage/users.ts'
import { showPage } from '../web/page.ts'
import {
  answerUrl,
  type AuthorizationRequest,
  denied,
  type FaultyRequest,
  ownerOf,
  readAuthorizationRequest,
} from './authorization-request.ts'
import { type Browser, browserOf, isOwnForm } from './browser.ts'
import { canRegister } from './can-register.ts'
import { consentText, decisionButtons } from './consent.ts'
import { type OauthSettings, oauthUrl } from './oauth-settings.ts'
import { currentPage, form, linkBack, nextPage, page } from './pages.ts'
import { signInPage, otherAccount, registrationUrl } from './sign-in.ts'

/** GET of the authorization endpoint, POST of the consent that it asks for. */
export function authorizeRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#authorisation-code-flow
  page(app, 'authorize', { get: authorize })
  page(app, 'consent', { post: decided })
}

async function authorize(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const query = new URL(c.req.url).searchParams
  const request = await readAuthorizationRequest(c.env, query)
  if ('error' in request) return await faultPage(c, oauth, request)
  if (request.create && canRegister(c.env)) {
    query.delete('prompt')
    return redirectOnce(c, registrationUrl(oauth, `authorize?${query.toString()}`), 302)
  }
  const browser = await browserOf(c, oauth)
  const next = currentPage(c, 'authorize')
  return browser.user
    ? await consentPage(c, oauth, browser, browser.user, request, next)
    : await signInPage(c, oauth, browser, { next })
}

// RFC 9700, section 4.11.2: anybody may register a client, so nobody is sent to one by a mere link.
async function faultPage(c: AppContext, oauth: OauthSettings, fault: FaultyRequest): Promise<Response> {
  const { recipient, error } = fault
  return await showPage(c, {
    title: 'This did not work',
    status: 400,
    content: () => html`
      <p role="alert">
        The application that sent you here asked for something that this server does not do: ${error.message}.
      </p>
      ${linkBack({ url: answerUrl(oauth, recipient, error), owner: ownerOf(new URL(recipient.redirectUri)) })}
    `,
  })
}

async function consentPage(
  c: AppContext,
  oauth: OauthSettings,
  browser: Browser,
  user: User,
  request: AuthorizationRequest,
  next: string,
): Promise<Response> {
  const redirect = new URL(request.redirectUri)
  const text = await consentText(c, user, request.client, request.scope, redirect)
  const fields = { request: next }
  return await showPage(c, {
    title: 'Let this application in?',
    formTargets: formTargets(redirect),
    content: () => html`
      ${text}
      ${form(oauth, browser, { action: 'consent', purpose: purposeOf(next), fields }, decisionButtons)}
      ${otherAccount(oauth, browser, next)}
    `,
  })
}

// Browsers hold the whole way to it that a form leads, and applications on the web or on the device may send their users on to a site.
function formTargets(redirect: URL): string[] {
  const target = cspSource(redirect)
  return /^https?:$/.test(redirect.protocol) ? [target, 'https:'] : [target]
}

// An answer counts for the very request that was shown.
const purposeOf = (request: string) => `consent ${request}`

async function decided(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const sent = await formFields(c)
  const shown = sent['request'] ?? ''
  const browser = await browserOf(c, oauth)
  if (!isOwnForm(browser, purposeOf(shown), sent)) return await expiredPage(c, oauth, nextPage(shown))
  const request = await readAuthorizationRequest(
    c.env,
    new URLSearchParams(shown.replace(/^authorize\??/, '')),
  )
  if ('error' in request) return await faultPage(c, oauth, request)
  if (sent['decision'] === 'deny') return redirectOnce(c, answerUrl(oauth, request, denied()), 303)
  if (sent['decision'] !== 'allow') throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid field decision')
  // It took too long: they sign in once more, and are asked once more.
  if (!browser.user) return redirectOnce(c, oauthUrl(oauth, shown), 303)
  const code = await issueCode(c, browser.user, request)
  return redirectOnce(c, answerUrl(oauth, request, { code }), 303)
}

// Of another site, or of a page from before somebody signed in or out in another tab.
async function expiredPage(c: AppContext, oauth: OauthSettings, shown: string): Promise<Response> {
  return await showPage(c, {
    title: 'This did not work',
    status: 403,
    content: () => html`
      <p role="alert">This page had expired, or your browser keeps no cookies of this server.</p>
      <p><a href="${oauthUrl(oauth, shown)}">Show it again</a></p>
    `,
  })
}

async function issueCode(c: AppContext, { userId }: User, request: AuthorizationRequest): Promise<string> {
  // The page that was shown once can be sent many times.
  await rateLimit(c.env, c.env.LOGIN_LIMIT, userId)
  const code = newSecretToken()
  const { clientId, redirectUri, codeChallenge, scope } = request
  await insertCode(c.env, {
    codeHash: tokenHash(code),
    clientId,
    userId,
    redirectUri,
    codeChallenge,
    scope: scope.text,
    deviceId: scope.deviceId,
  })
  log({ event: 'oauth_allowed', user_id: userId, client_id: clientId })
  return code
}
