// Closing an account on the account page. Specification: client-server API, "Account management URL actions".

import { html } from 'hono/html'
import { deactivateAccount } from '../client/deactivate-account.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { type Failure, failureText } from '../web/failure.ts'
import { showPage } from '../web/page.ts'
import { accountFooter, accountForm, passwordField, requirePassword, type Sent } from './account-form.ts'
import type { SignedIn } from './browser.ts'
import type { OauthSettings } from './oauth-settings.ts'
import { form } from './pages.ts'

/** POST of what closes an account. */
export function deactivationPageRoutes(app: App): void {
  accountForm(app, {
    name: 'deactivate',
    purpose: () => purpose,
    action: 'org.matrix.account_deactivate',
    show: deactivationPage,
    run: deactivate,
  })
}

const purpose = 'deactivate'

/** The page that asks whether somebody means it. */
export async function deactivationPage(
  c: AppContext,
  oauth: OauthSettings,
  browser: SignedIn,
  failure?: Failure,
): Promise<Response> {
  const { user } = browser
  const fields = html`
    <label>
      Type ${user.userId} to confirm
      <input name="user" autocomplete="off" autocapitalize="none" spellcheck="false" required />
    </label>
    ${await passwordField(c.env, user)}
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
      ${failureText(failure)}
      <p>
        You leave all rooms, and all applications are signed out. This cannot be taken back, and nobody can
        have the name again, not even you.
      </p>
      ${form(oauth, browser, { action: 'account/deactivate', purpose, fields: {} }, fields)}
      ${accountFooter(oauth, browser)}
    `,
  })
}

async function deactivate(
  c: AppContext,
  _: OauthSettings,
  { user }: SignedIn,
  sent: Sent,
): Promise<Response> {
  if (sent['user']?.trim() !== user.userId) {
    throw new MatrixError('M_FORBIDDEN', 403, 'That is not your user id')
  }
  await requirePassword(c, user, sent)
  await deactivateAccount(c.env, user, { erase: sent['erase'] === 'yes', idServer: undefined })
  return await showPage(c, { title: 'Done', content: () => html`<p>Your account is closed.</p>` })
}
