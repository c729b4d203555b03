// The sessions of an account, on the account page. Specification: client-server API, "Account management URL actions".

import { html } from 'hono/html'
import { endDevices } from '../client/end-devices.ts'
import { config } from '../config.ts'
import { hubStub } from '../env.ts'
import type { App, AppContext } from '../http/app-type.ts'
import type { Device } from '../hub/devices.ts'
import { redirectOnce } from '../sso/attempt.ts'
import { type Failure, failureText } from '../web/failure.ts'
import { type Html, showPage } from '../web/page.ts'
import { type AccountAction, accountUrl } from './account-actions.ts'
import { accountFooter, accountForm } from './account-form.ts'
import type { SignedIn } from './browser.ts'
import { type OauthSettings, oauthUrl } from './oauth-settings.ts'
import { form } from './pages.ts'
import { otherAccount } from './sign-in.ts'

/** POST of what ends one. */
export function sessionPageRoutes(app: App): void {
  accountForm(app, {
    name: 'end-session',
    purpose: (sent) => endPurpose(sent['device_id'] ?? ''),
    action: 'org.matrix.devices_list',
    show: sessionsPage,
    run: async (c, oauth, { user }, sent) => {
      await endDevices(c.env, user, { only: [sent['device_id'] ?? ''] })
      return redirectOnce(c, oauthUrl(oauth, 'account'), 303)
    },
  })
}

const endPurpose = (deviceId: string) => `end session ${deviceId}`

/** All of them, and the way to the other pages of an account. */
export async function sessionsPage(
  c: AppContext,
  oauth: OauthSettings,
  browser: SignedIn,
  failure?: Failure,
): Promise<Response> {
  const { userId, shard } = browser.user
  const devices = await hubStub(c.env, shard).listDevices(userId)
  return await showPage(c, {
    title: 'Your sessions',
    status: failure?.status ?? 200,
    content: () => html`
      ${failureText(failure)}
      ${devices.length === 0 ? html`<p>No application is signed in to your account.</p>` : ''}
      <ul>
        ${devices.map(
          (device) =>
            html`<li>
              <a href="${accountUrl(oauth, 'org.matrix.device_view', { device_id: device.device_id })}"
                ><bdi>${shownName(device)}</bdi></a
              >
              ${lastSeen(device)}
            </li>`,
        )}
      </ul>
      <h2>Your account</h2>
      <ul>
        ${furtherPages(c, browser).map(
          ([action, text]) => html`<li><a href="${accountUrl(oauth, action)}">${text}</a></li>`,
        )}
      </ul>
      <p>You are signed in as <b>${userId}</b>.</p>
      ${otherAccount(oauth, browser, 'account')}
    `,
  })
}

function furtherPages(c: AppContext, { user }: SignedIn): [AccountAction, string][] {
  const hasPassword = config(c.env).passwordLogin && user.passwordHash !== null
  return [
    ['org.matrix.profile', 'Your profile'],
    ...(hasPassword ? ([['hearth.password', 'Change your password']] as [AccountAction, string][]) : []),
    ['org.matrix.cross_signing_reset', 'Reset your identity'],
    ['org.matrix.account_deactivate', 'Close your account'],
  ]
}

/** What a session is called. Whoever got in does not stay because their session has a name that cannot be seen. */
function shownName({ display_name: name, device_id: id }: Device): string {
  const visible = [name, id].find((text) => text !== undefined && /[\p{L}\p{N}\p{P}\p{S}]/u.test(text))
  return visible ?? 'Session without a name'
}

function lastSeen({ last_seen_ts: time }: Device): Html {
  if (time === undefined) return html``
  const text = new Date(time).toISOString()
  return html`<br />Last used <time datetime="${text}">${text.slice(0, 16).replace('T', ' ')} UTC</time>`
}

/** One of them, by `device_id` of the query; all where it names none. */
export async function sessionPage(c: AppContext, oauth: OauthSettings, browser: SignedIn): Promise<Response> {
  const { userId, shard } = browser.user
  const deviceId = c.req.query('device_id') ?? ''
  if (deviceId === '') return await sessionsPage(c, oauth, browser)
  const device = await hubStub(c.env, shard).getDevice(userId, deviceId)
  if (!device) {
    const failure = { text: 'You have no such session. It may have ended already.', status: 404 } as const
    return await sessionsPage(c, oauth, browser, failure)
  }
  const { device_id: id, last_seen_ip: ip } = device
  const target = { action: 'account/end-session', purpose: endPurpose(id), fields: { device_id: id } }
  return await showPage(c, {
    title: shownName(device),
    content: () => html`
      <p>Session <b>${id}</b>${lastSeen(device)}${ip === undefined ? '' : html`<br />From ${ip}`}</p>
      <p>Who signs out loses encrypted messages that are kept nowhere else.</p>
      ${form(oauth, browser, target, html`<button>Sign out</button>`)} ${accountFooter(oauth, browser)}
    `,
  })
}
