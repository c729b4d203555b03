// What the pages have in common: where they are, and the forms between them.

import { html } from 'hono/html'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { redirectOnce } from '../sso/attempt.ts'
import { orRefusalPage } from '../sso/refusal.ts'
import type { Html } from '../web/page.ts'
import { type Browser, formToken } from './browser.ts'
import { requireOauth } from './oauth-error.ts'
import { type OauthSettings, oauthPath, oauthUrl } from './oauth-settings.ts'

// What clients call themselves, from other sites too. All else is for browsers.
const endpoints = ['register-client', 'token', 'revoke', 'device-authorization']

/** Whether a path is one of a page: other sites' scripts have no business there. */
export function isPagePath(path: string): boolean {
  return path.startsWith(`${oauthPath}/`) && !endpoints.some((name) => path === `${oauthPath}/${name}`)
}

type Handler = (c: AppContext, oauth: OauthSettings) => Promise<Response>

/** Adds a page that is opened, and what takes its form. What takes forms alone leads to the account page where it is opened. */
export function page(
  app: App,
  name: string,
  handlers: { readonly get?: Handler; readonly post?: Handler },
): void {
  const { get = anew, post } = handlers
  app.get(`${oauthPath}/${name}`, (c) => shown(c, get))
  if (post) app.post(`${oauthPath}/${name}`, (c) => shown(c, post))
}

// The address of a failed attempt, opened once more.
async function anew(c: AppContext, oauth: OauthSettings): Promise<Response> {
  return redirectOnce(c, oauthUrl(oauth, 'account'), 302)
}

async function shown(c: AppContext, handler: Handler): Promise<Response> {
  const oauth = requireOauth(c.env)
  return await orRefusalPage(c, () => handler(c, oauth))
}

/** A form that only this browser can send; `purpose` is what was shown. */
export function form(
  oauth: OauthSettings,
  browser: Browser,
  { action, purpose, fields }: { action: string; purpose: string; fields: Readonly<Record<string, string>> },
  content: Html,
): Html {
  return html`<form method="post" action="${oauthUrl(oauth, action)}">
    <input type="hidden" name="form" value="${formToken(browser, purpose)}" />
    ${Object.entries(fields).map(
      ([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`,
    )}
    ${content}
  </form>`
}

/** A link back to the client, which names whose address it is. */
export function linkBack({ url, owner }: { readonly url: string; readonly owner: string }): Html {
  return html`<p><a href="${url}">Back to the application (${owner})</a></p>`
}

/**
 * Where somebody goes on who has signed in: one of the pages, with its query. 400 M_INVALID_PARAM for anything else, since a form
 * may bring it.
 */
export function nextPage(text: string | undefined): string {
  if (text !== undefined && /^(?:authorize|account|link|login)(?:\?[\x21-\x7e]*)?$/.test(text)) return text
  throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter next: leads nowhere')
}

/** The page that was asked for, as `nextPage` takes it. */
export function currentPage(c: AppContext, name: string): string {
  return `${name}${new URL(c.req.url).search}`
}
