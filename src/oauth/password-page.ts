// Another password, on the account page: users of the OAuth 2.0 API have no other way. Specification: client-server API, "Account
// management" of the OAuth 2.0 API.

import { html } from 'hono/html'
import { setPassword } from '../client/set-password.ts'
import { config } from '../config.ts'
import { passwordHasherStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { type Failure, failureText } from '../web/failure.ts'
import { showPage } from '../web/page.ts'
import { accountFooter, accountForm, passwordField, requirePassword, type Sent } from './account-form.ts'
import { signIn, type SignedIn } from './browser.ts'
import { checkedNewPassword, newPasswordFields } from './new-password.ts'
import type { OauthSettings } from './oauth-settings.ts'
import { form } from './pages.ts'

/** POST of the page. */
export function passwordPageRoutes(app: App): void {
  accountForm(app, {
    name: 'password',
    purpose: () => purpose,
    action: 'hearth.password',
    show: passwordPage,
    run: change,
  })
}

const purpose = 'password'

/** The page with the form. */
export async function passwordPage(
  c: AppContext,
  oauth: OauthSettings,
  browser: SignedIn,
  failure?: Failure,
): Promise<Response> {
  refuseWithoutPassword(c, browser)
  const fields = html`
    ${await passwordField(c.env, browser.user)} ${newPasswordFields}
    <button>Change password</button>
  `
  return await showPage(c, {
    title: 'Change your password',
    status: failure?.status ?? 200,
    content: () => html`
      ${failureText(failure)}
      ${form(oauth, browser, { action: 'account/password', purpose, fields: {} }, fields)}
      ${accountFooter(oauth, browser)}
    `,
  })
}

async function change(c: AppContext, oauth: OauthSettings, browser: SignedIn, sent: Sent): Promise<Response> {
  const { user } = browser
  refuseWithoutPassword(c, browser)
  const { password, ended } = checkedNewPassword(sent)
  await requirePassword(c, user, sent)
  const passwordHash = await passwordHasherStub(c.env).hash(password)
  await setPassword(c.env, user, passwordHash, ended)
  // No browser is signed in any more. This one is to be, with the new password.
  await signIn(c, oauth, browser, user)
  return await showPage(c, {
    title: 'Done',
    content: () =>
      html`<p role="status">Your password is changed.</p>
        ${accountFooter(oauth, browser)}`,
  })
}

// Who has none signs in elsewhere.
function refuseWithoutPassword(c: AppContext, { user }: SignedIn): void {
  if (config(c.env).passwordLogin && user.passwordHash !== null) return
  throw new MatrixError('M_FORBIDDEN', 403, 'Your account has no password on this server')
}
