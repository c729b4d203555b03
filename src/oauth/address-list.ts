// The addresses of an account as the profile page has them, and the forms to add and remove one. Specification: client-server API,
// "Adding Account Administrative Contact Information".

import { html } from 'hono/html'
import type { Env } from '../env.ts'
import { threepidsOf } from '../storage/threepids.ts'
import type { Html } from '../web/page.ts'
import { passwordField } from './account-form.ts'
import type { SignedIn } from './browser.ts'
import type { OauthSettings } from './oauth-settings.ts'
import { form } from './pages.ts'

export const confirmPurpose = 'confirm address'
export const removePurpose = (address: string) => `remove address ${address}`

/** The section of the page. */
export async function addressList(env: Env, oauth: OauthSettings, browser: SignedIn): Promise<Html> {
  const { user } = browser
  const known = await threepidsOf(env, user.userId)
  const password = await passwordField(env, user)
  return html`
    <h2>E-mail addresses</h2>
    <p>You can sign in with them, and a new password can be had by a mail to one.</p>
    <ul>
      ${known
        .filter(({ medium }) => medium === 'email')
        .map(({ address }) => {
          const purpose = removePurpose(address)
          const target = { action: 'account/remove-address', purpose, fields: { address } }
          return html`<li>
            ${address} ${form(oauth, browser, target, html`<button class="quiet">Remove</button>`)}
          </li>`
        })}
    </ul>
    ${form(
      oauth,
      browser,
      { action: 'account/confirm-address', purpose: confirmPurpose, fields: {} },
      html`
        <label>
          New address
          <input type="email" name="email" autocomplete="email" required />
        </label>
        ${password}
        <button>Add</button>
      `,
    )}
  `
}
