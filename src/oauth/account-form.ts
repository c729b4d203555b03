// The forms of the account page: who may send them, and what becomes of a mistake in one.

import { html } from 'hono/html'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { checkPassword } from '../http/check-password.ts'
import { formFields } from '../http/form-body.ts'
import { ownerMeans } from '../http/owner-flows.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { redirectOnce } from '../sso/attempt.ts'
import type { User } from '../storage/users.ts'
import { type Failure, failureOf } from '../web/failure.ts'
import type { Html } from '../web/page.ts'
import { type AccountAction, accountUrl } from './account-actions.ts'
import { browserOf, checkForm, type SignedIn } from './browser.ts'
import type { OauthSettings } from './oauth-settings.ts'
import { page } from './pages.ts'

export type Sent = Readonly<Record<string, string>>

/** Shows somebody a page, with what was wrong in the form of it. */
export type Show = (
  c: AppContext,
  oauth: OauthSettings,
  browser: SignedIn,
  failure?: Failure,
) => Promise<Response>

export interface AccountForm {
  /** The page below `account/` that takes it. */
  readonly name: string
  /** What it is for, as `form` was given it. */
  readonly purpose: (sent: Sent) => string
  /** The page that it stands on. */
  readonly action: AccountAction
  readonly show: Show
  readonly run: (c: AppContext, oauth: OauthSettings, browser: SignedIn, sent: Sent) => Promise<Response>
}

/** Adds the POST of a form. Whose time is over signs in once more; what is wrong with it is said on its page. */
export function accountForm(app: App, { name, purpose, action, show, run }: AccountForm): void {
  page(app, `account/${name}`, {
    post: async (c, oauth) => {
      const sent = await formFields(c)
      const browser = await browserOf(c, oauth)
      checkForm(browser, purpose(sent), sent)
      const { user } = browser
      if (!user) return redirectOnce(c, accountUrl(oauth, action), 303)
      try {
        return await run(c, oauth, { ...browser, user }, sent)
      } catch (error) {
        return await show(c, oauth, { ...browser, user }, failureOf(error))
      }
    },
  })
}

/** The field for the password, where a user has one to be asked for. */
export async function passwordField(env: Env, user: User): Promise<Html | ''> {
  const { byPassword } = await ownerMeans(env, user)
  return !byPassword
    ? ''
    : html`<label>
        Password
        <input name="password" type="password" autocomplete="current-password" required />
      </label>`
}

/** Refuses who only found a browser that is signed in: 403 M_FORBIDDEN without the password, where `passwordField` asks for it. */
export async function requirePassword(c: AppContext, user: User, sent: Sent): Promise<void> {
  await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
  if (!(await ownerMeans(c.env, user)).byPassword) return
  if (!(await checkPassword(c.env, user.userId, sent['password'] ?? ''))) {
    throw new MatrixError('M_FORBIDDEN', 403, 'Invalid password')
  }
}

/** The end of a page of the account: whose it is, and the way to the others. */
export function accountFooter(oauth: OauthSettings, { user }: SignedIn): Html {
  return html`<p>
    You are signed in as <b>${user.userId}</b>.
    <a href="${accountUrl(oauth, 'org.matrix.devices_list')}">Your account</a>
  </p>`
}
