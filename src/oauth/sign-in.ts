// Signing in with a browser, by password or with an identity provider: whoever goes on to another page has to.
// Specification: client-server API, "Login flows" of the OAuth 2.0 API.

import { html } from 'hono/html'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { checkPassword } from '../http/check-password.ts'
import { formFields } from '../http/form-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { identifiedUser } from '../http/user-identifier.ts'
import { redirectOnce } from '../sso/attempt.ts'
import { SsoRefusal } from '../sso/refusal.ts'
import { useLoginToken } from '../storage/login-tokens.ts'
import { findUser, type User } from '../storage/users.ts'
import { type Failure, failureOf, failureText } from '../web/failure.ts'
import { type Html, showPage } from '../web/page.ts'
import { wayBack } from './authorization-request.ts'
import { type Browser, browserOf, checkForm, isOwnForm, refuseUnfit, signIn, signOut } from './browser.ts'
import { registeringProviders, registersByPassword } from './can-register.ts'
import { type OauthSettings, oauthUrl } from './oauth-settings.ts'
import { form, linkBack, nextPage, page } from './pages.ts'
import { canRecover } from './recovery-page.ts'
import { ssoLinks, ssoPurpose } from './sso-links.ts'

/** POST of the sign-in form, GET of what single sign-on comes back to, POST to sign out. */
export function signInRoutes(app: App): void {
  page(app, 'sign-in', { post: submitted })
  page(app, 'signed-in', { get: signedIn })
  page(app, 'sign-out', { post: signedOut })
}

export interface SignIn {
  /** The page to go on to. */
  readonly next: string
  /** Whether somebody comes to get an account: then of the providers those alone that give one. */
  readonly registers?: boolean
}

interface FailedSignIn extends Failure {
  readonly typed?: string
}

const purpose = 'sign in'

/** The page that asks who somebody is. */
export async function signInPage(
  c: AppContext,
  oauth: OauthSettings,
  browser: Browser,
  { next, registers = false }: SignIn,
  failure?: FailedSignIn,
): Promise<Response> {
  const { sso, passwordLogin, serverName } = config(c.env)
  const open = registers ? registeringProviders(c.env) : []
  const providers = open.length > 0 ? open : (sso?.providers ?? [])
  const target = { action: 'sign-in', purpose, fields: { next } }
  const back = await wayBack(c.env, oauth, next)
  return await showPage(c, {
    title: registers && open.length > 0 ? 'Create an account' : 'Sign in',
    status: failure?.status ?? 200,
    content: () => html`
      <p>Sign in to your account on <b>${serverName}</b>.</p>
      ${failureText(failure)} ${ssoLinks(oauth, browser, providers, { next, registers })}
      ${passwordLogin ? form(oauth, browser, target, fields(c, failure?.typed ?? '')) : ''}
      ${
        canRecover(c.env)
          ? html`<p><a href="${pageWithNext(oauth, 'recover', next)}">Forgotten your password?</a></p>`
          : ''
      }
      ${
        registersByPassword(c.env)
          ? html`<p><a href="${registrationUrl(oauth, next)}">Create an account</a></p>`
          : ''
      }
      ${back ? linkBack(back) : ''}
    `,
  })
}

/** Where somebody gets an account, and goes on from. */
export function registrationUrl(oauth: OauthSettings, next: string): string {
  return pageWithNext(oauth, 'register', next)
}

function pageWithNext(oauth: OauthSettings, name: string, next: string): string {
  return `${oauthUrl(oauth, name)}?${new URLSearchParams({ next }).toString()}`
}

const fields = (c: AppContext, typed: string) => html`
  <label>
    ${config(c.env).mail ? 'User name or e-mail address' : 'User name'}
    <input
      name="user"
      value="${typed}"
      autocomplete="username"
      autocapitalize="none"
      spellcheck="false"
      required
      autofocus
    />
  </label>
  <label>
    Password
    <input name="password" type="password" autocomplete="current-password" required />
  </label>
  <button>Sign in</button>
`

async function submitted(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const sent = await formFields(c)
  const next = nextPage(sent['next'])
  const browser = await browserOf(c, oauth)
  if (!isOwnForm(browser, purpose, sent)) return await onceMore(c, oauth, browser, next)
  try {
    await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
    const user = await byPassword(c.env, sent['user'] ?? '', sent['password'] ?? '')
    refuseUnfit(user)
    await signIn(c, oauth, browser, user)
    return redirectOnce(c, oauthUrl(oauth, next), 303)
  } catch (error) {
    const failure = { ...failureOf(error), typed: sent['user'] ?? '' }
    return await signInPage(c, oauth, browser, { next }, failure)
  }
}

async function byPassword(env: Env, typed: string, password: string): Promise<User | undefined> {
  if (!config(env).passwordLogin) return undefined
  const text = typed.trim()
  // No user name or id has an @ after its first character.
  const identifier = /^[^@].*@/.test(text)
    ? { type: 'm.id.thirdparty', medium: 'email', address: text }
    : { type: 'm.id.user', user: text }
  const userId = await identifiedUser(env, { identifier })
  return userId && (await checkPassword(env, userId, password))
}

/** Where a sign-in was not begun by the browser as it is now: it has signed in meanwhile in another tab, or its cookie is gone. */
async function onceMore(
  c: AppContext,
  oauth: OauthSettings,
  browser: Browser,
  next: string,
): Promise<Response> {
  if (browser.user) return redirectOnce(c, oauthUrl(oauth, next), 303)
  const text = 'This page had expired, or your browser keeps no cookies of this server. Please try again.'
  return await signInPage(c, oauth, browser, { next }, { text, status: 403 })
}

async function signedIn(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const next = nextPage(c.req.query('next'))
  const browser = await browserOf(c, oauth)
  // Whoever gives somebody else a link with a token of their own does not sign them in to another account than they think.
  if (!isOwnForm(browser, ssoPurpose, { form: c.req.query('state') ?? '' })) {
    return await onceMore(c, oauth, browser, next)
  }
  const userId = await useLoginToken(c.env, c.req.query('loginToken') ?? '')
  if (userId === undefined) throw new SsoRefusal('unknown-attempt')
  const user = await findUser(c.env, userId)
  refuseUnfit(user)
  await signIn(c, oauth, browser, user)
  return redirectOnce(c, oauthUrl(oauth, next), 302)
}

const signOutPurpose = 'sign out'

/** A way to be somebody else, for who is signed in. */
export function otherAccount(oauth: OauthSettings, browser: Browser, next: string): Html {
  return form(
    oauth,
    browser,
    { action: 'sign-out', purpose: signOutPurpose, fields: { next } },
    html`<button class="quiet">Use another account</button>`,
  )
}

async function signedOut(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const sent = await formFields(c)
  const next = nextPage(sent['next'])
  const browser = await browserOf(c, oauth)
  checkForm(browser, signOutPurpose, sent)
  await signOut(c, oauth, browser)
  return redirectOnce(c, oauthUrl(oauth, next), 303)
}
