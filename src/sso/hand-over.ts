// The end of a sign-in for a client of the legacy API: who has signed in is asked whether it may have the account, and it gets a login
// token. Specification: client-server API, security considerations of "SSO client login/authentication".

import { html } from 'hono/html'
import type { Env } from '../env.ts'
import type { AppContext } from '../http/app-type.ts'
import type { UserId } from '../matrix/event.ts'
import { createLoginToken } from '../storage/login-tokens.ts'
import { type Html, showPage } from '../web/page.ts'
import { clientName, cspSource, withLoginToken } from './redirect-url.ts'

// The specification would have about five seconds. Web clients that have to be loaded first need more on slow lines; the token
// goes but once, to the client that was agreed to.
const loginTokenLifetimeMs = 30_000

/** The page that asks; `form` is what somebody agrees by. */
export async function handOverPage(
  c: AppContext,
  { userId, url, form }: { readonly userId: UserId; readonly url: URL; readonly form: Html },
): Promise<Response> {
  return await showPage(c, {
    title: 'Continue to your application',
    formTargets: [cspSource(url)],
    content: () => html`
      <p>Account: <b>${userId}</b></p>
      <p>
        <b>${clientName(url)}</b> will be signed in to it, and can then read and write in your name. If you do
        not know this application, or did not come from there, close this page.
      </p>
      ${form}
    `,
  })
}

/** Where the client gets a login token of the user. */
export async function handOverUrl(env: Env, userId: UserId, url: URL): Promise<string> {
  return withLoginToken(url, await createLoginToken(env, userId, Date.now() + loginTokenLifetimeMs))
}
