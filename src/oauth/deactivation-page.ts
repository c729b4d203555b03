// Closing an account on the account page. Specification: client-server API, "Account management URL actions".

import { html } from 'hono/html'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { deactivateAccount } from '../client/deactivate-account.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { checkPassword } from '../http/check-password.ts'
import { formFields } from '../http/form-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { redirectOnce } from '../sso/attempt.ts'
import { showPage } from '../web/page.ts'
import { browserOf, checkForm, type SignedIn } from './browser.ts'
import { type OauthSettings, oauthUrl } from './oauth-settings.ts'
import { form, page } from './pages.ts'

/** POST of what closes an account. */
export function deactivationPageRoutes(app: App): void {
  page(app, 'account/deactivate', { post: deactivate })
}

const purpose = 'deactivate'

/** The page that asks whether somebody means it. */
export async function deactivationPage(
  c: AppContext,
  oauth: OauthSettings,
  browser: SignedIn,
  failure?: { readonly text: string; readonly status: ContentfulStatusCode },
): Promise<Response> {
  const { userId, passwordHash } = browser.user
  const fields = html`
    <label>
      Type ${userId} to confirm
      <input name="user" autocomplete="off" autocapitalize="none" spellcheck="false" required />
    </label>
    ${
      passwordHash === null
        ? ''
        : html`<label>
            Password
            <input name="password" type="password" autocomplete="current-password" required />
          </label>`
    }
    <label class="choice">
      <input type="checkbox" name="erase" value="yes" />
      <span>Hide my messages from those who join rooms later</span>
    </label>
    <button>Close my account for good</button>
  `
  return await showPage(c, {
    title: 'Close your account?',
    status: failure?.status ?? 200,
    content: () => html`
      ${failure === undefined ? '' : html`<p role="alert">${failure.text}</p>`}
      <p>Account: <b>${userId}</b></p>
      <p>
        You leave all rooms, and all applications are signed out. This cannot be taken back, and nobody can
        have the name again, not even you.
      </p>
      ${form(oauth, browser, { action: 'account/deactivate', purpose, fields: {} }, fields)}
    `,
  })
}

async function deactivate(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const sent = await formFields(c)
  const browser = await browserOf(c, oauth)
  checkForm(browser, purpose, sent)
  const { user } = browser
  const again = `${oauthUrl(oauth, 'account')}?action=org.matrix.account_deactivate`
  if (!user) return redirectOnce(c, again, 303)
  try {
    await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
    if (sent['user']?.trim() !== user.userId)
      throw new MatrixError('M_FORBIDDEN', 403, 'That is not your user id')
    // Who finds a browser that is still signed in does not close the account.
    if (user.passwordHash !== null && !(await checkPassword(c.env, user.userId, sent['password'] ?? ''))) {
      throw new MatrixError('M_FORBIDDEN', 403, 'Invalid password')
    }
  } catch (error) {
    if (!isMatrixError(error)) throw error
    const failure = { text: error.message, status: error.status as ContentfulStatusCode }
    return await deactivationPage(c, oauth, { ...browser, user }, failure)
  }
  await deactivateAccount(c.env, user, { erase: sent['erase'] === 'yes', idServer: undefined })
  return await showPage(c, { title: 'Done', content: () => html`<p>Your account is closed.</p>` })
}
