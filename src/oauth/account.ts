// The account page, which clients link to for whatever users do with their account. Specification: client-server API, "Account management"
// of the OAuth 2.0 API.

import type { App, AppContext } from '../http/app-type.ts'
import { type AccountAction, accountAction } from './account-actions.ts'
import type { Show } from './account-form.ts'
import { addressFormRoutes } from './address-forms.ts'
import { browserOf } from './browser.ts'
import { crossSigningResetPage, crossSigningResetPageRoutes } from './cross-signing-reset-page.ts'
import { deactivationPage, deactivationPageRoutes } from './deactivation-page.ts'
import type { OauthSettings } from './oauth-settings.ts'
import { currentPage, page } from './pages.ts'
import { passwordPage, passwordPageRoutes } from './password-page.ts'
import { profilePage, profilePageRoutes } from './profile-page.ts'
import { sessionPage, sessionPageRoutes, sessionsPage } from './session-pages.ts'
import { signInPage } from './sign-in.ts'

/** GET of the account page, POST of what it does. */
export function accountRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#oauth-20-account-management
  page(app, 'account', { get: accountPage })
  sessionPageRoutes(app)
  profilePageRoutes(app)
  addressFormRoutes(app)
  passwordPageRoutes(app)
  crossSigningResetPageRoutes(app)
  deactivationPageRoutes(app)
}

async function accountPage(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const browser = await browserOf(c, oauth)
  const { user } = browser
  if (!user) return await signInPage(c, oauth, browser, { next: currentPage(c, 'account') })
  return await actions[accountAction(c.req.query('action'))](c, oauth, { ...browser, user })
}

const actions: Readonly<Record<AccountAction, Show>> = {
  'org.matrix.profile': profilePage,
  'org.matrix.devices_list': sessionsPage,
  'org.matrix.device_view': sessionPage,
  'org.matrix.device_delete': sessionPage,
  'org.matrix.account_deactivate': deactivationPage,
  'org.matrix.cross_signing_reset': crossSigningResetPage,
  'hearth.password': passwordPage,
}
