// Consent to new cross-signing keys, on the account page. Specification: client-server API, "OAuth authentication", "Account management
// URL actions"; MSC4312.

import { html } from 'hono/html'
import type { App, AppContext } from '../http/app-type.ts'
import { log } from '../log.ts'
import { allowCrossSigningReset } from '../storage/cross-signing-resets.ts'
import { type Failure, failureText } from '../web/failure.ts'
import { showPage } from '../web/page.ts'
import { accountFooter, accountForm, passwordField, requirePassword, type Sent } from './account-form.ts'
import type { SignedIn } from './browser.ts'
import type { OauthSettings } from './oauth-settings.ts'
import { form } from './pages.ts'

/** POST of the consent. */
export function crossSigningResetPageRoutes(app: App): void {
  accountForm(app, {
    name: 'reset-cross-signing',
    purpose: () => purpose,
    action: 'org.matrix.cross_signing_reset',
    show: crossSigningResetPage,
    run: allowReset,
  })
}

const purpose = 'reset cross-signing'

/** The page that asks for it. */
export async function crossSigningResetPage(
  c: AppContext,
  oauth: OauthSettings,
  browser: SignedIn,
  failure?: Failure,
): Promise<Response> {
  const target = { action: 'account/reset-cross-signing', purpose, fields: {} }
  const fields = html`
    ${await passwordField(c.env, browser.user)}
    <button>Reset</button>
  `
  return await showPage(c, {
    title: 'Reset your identity?',
    status: failure?.status ?? 200,
    content: () => html`
      ${failureText(failure)}
      <p>
        This lets an application set up new keys for verification. Those you have verified will see that your
        identity has changed, and have to verify you again. Do this only if you cannot verify your session
        otherwise.
      </p>
      <p>
        If it was not you who wanted that, close this page: somebody else may have access to your account.
      </p>
      ${form(oauth, browser, target, fields)} ${accountFooter(oauth, browser)}
    `,
  })
}

async function allowReset(
  c: AppContext,
  _: OauthSettings,
  { user }: SignedIn,
  sent: Sent,
): Promise<Response> {
  // Whoever has the keys is taken for the user by all who have verified them.
  await requirePassword(c, user, sent)
  await allowCrossSigningReset(c.env, user.userId)
  log({ event: 'cross_signing_reset_allowed', user_id: user.userId })
  return await showPage(c, {
    title: 'Done',
    content: () =>
      html`<p>Your application can set up new keys within the next ten minutes. Go back to it now.</p>`,
  })
}
