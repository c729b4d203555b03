// The profile of a user, on the account page: the name that others see, and addresses, where this server sends mail. Specification:
// client-server API, "Account management URL actions", "Profiles".

import { html } from 'hono/html'
import { changeProfile, checkedValue, longestDisplayName } from '../client/change-profile.ts'
import { config } from '../config.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { rateLimit } from '../http/rate-limit.ts'
import { stringProperty } from '../matrix/json.ts'
import { redirectOnce } from '../sso/attempt.ts'
import { findProfile } from '../storage/profiles.ts'
import type { User } from '../storage/users.ts'
import { type Failure, failureText } from '../web/failure.ts'
import { showPage } from '../web/page.ts'
import { accountUrl } from './account-actions.ts'
import { accountFooter, accountForm } from './account-form.ts'
import { addressList } from './address-list.ts'
import type { SignedIn } from './browser.ts'
import type { OauthSettings } from './oauth-settings.ts'
import { form } from './pages.ts'

/** POST of the name. */
export function profilePageRoutes(app: App): void {
  accountForm(app, {
    name: 'profile',
    purpose: () => purpose,
    action: 'org.matrix.profile',
    show: profilePage,
    run: async (c, oauth, { user }, sent) => {
      refuseSuspendedUser(user)
      await rateLimit(c.env, c.env.SEND_LIMIT, user.userId)
      const name = checkedValue('displayname', (sent['displayname'] ?? '').toWellFormed().trim())
      await changeProfile(c.env, user, 'displayname', name)
      return redirectOnce(c, accountUrl(oauth, 'org.matrix.profile'), 303)
    },
  })
}

const purpose = 'profile'

/** 403 M_USER_SUSPENDED for who may not do that. */
export function refuseSuspendedUser({ suspended }: User): void {
  if (suspended) throw new MatrixError('M_USER_SUSPENDED', 403, 'Your account is suspended')
}

/** The page with the forms. */
export async function profilePage(
  c: AppContext,
  oauth: OauthSettings,
  browser: SignedIn,
  failure?: Failure,
): Promise<Response> {
  const profile = await findProfile(c.env, browser.user.userId)
  const addresses = config(c.env).mail ? await addressList(c.env, oauth, browser) : ''
  const fields = html`
    <label>
      Name
      <input
        name="displayname"
        value="${stringProperty(profile ?? {}, 'displayname') ?? ''}"
        autocomplete="nickname"
        maxlength="${longestDisplayName}"
      />
    </label>
    <p>Others see it in place of your user name. Applications may also set a picture.</p>
    <button>Save</button>
  `
  return await showPage(c, {
    title: 'Your profile',
    status: failure?.status ?? 200,
    content: () => html`
      ${failureText(failure)}
      ${form(oauth, browser, { action: 'account/profile', purpose, fields: {} }, fields)} ${addresses}
      ${accountFooter(oauth, browser)}
    `,
  })
}
