// The account page: sessions, and consent to new cross-signing keys. Specification: client-server API, "Account management" of the
// OAuth 2.0 API.

import { html } from 'hono/html'
import { endDevices } from '../client/end-devices.ts'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { Device } from '../hub/devices.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { formFields } from '../http/form-body.ts'
import { log } from '../log.ts'
import { redirectOnce } from '../sso/attempt.ts'
import { allowCrossSigningReset } from '../storage/cross-signing-resets.ts'
import { type Html, showPage } from '../web/page.ts'
import { type AccountAction, accountAction } from './account-actions.ts'
import { browserOf, checkForm, type SignedIn } from './browser.ts'
import { deactivationPage, deactivationPageRoutes } from './deactivation-page.ts'
import { type OauthSettings, oauthUrl } from './oauth-settings.ts'
import { currentPage, form, page } from './pages.ts'
import { signInPage, otherAccount } from './sign-in.ts'

/** GET of the account page, POST of what it does. */
export function accountRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#oauth-20-account-management
  page(app, 'account', { get: accountPage })
  page(app, 'account/end-session', { post: endSession })
  page(app, 'account/reset-cross-signing', { post: allowReset })
  deactivationPageRoutes(app)
}

async function accountPage(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const browser = await browserOf(c, oauth)
  const { user } = browser
  if (!user) return await signInPage(c, oauth, browser, { next: currentPage(c, 'account') })
  return await actions[accountAction(c.req.query('action'))](c, oauth, { ...browser, user })
}

type Show = (c: AppContext, oauth: OauthSettings, browser: SignedIn) => Promise<Response>

const actions: Readonly<Record<AccountAction, Show>> = {
  'org.matrix.devices_list': listPage,
  'org.matrix.device_view': devicePage,
  'org.matrix.device_delete': devicePage,
  'org.matrix.account_deactivate': deactivationPage,
  'org.matrix.cross_signing_reset': resetPage,
}

async function listPage(c: AppContext, oauth: OauthSettings, browser: SignedIn): Promise<Response> {
  const { userId, shard } = browser.user
  const devices = await hubStub(c.env, shard).listDevices(userId)
  return await showPage(c, {
    title: 'Your sessions',
    content: () => html`
      ${devices.length === 0 ? html`<p>No application is signed in to your account.</p>` : ''}
      <ul>
        ${devices.map(
          (device) =>
            html`<li>
              <a href="${deviceUrl(oauth, device)}">${device.display_name ?? device.device_id}</a>
              ${lastSeen(device)}
            </li>`,
        )}
      </ul>
      <p>You are signed in as <b>${userId}</b>.</p>
      ${otherAccount(oauth, browser, 'account')}
      <p>
        <a href="${oauthUrl(oauth, 'account')}?action=org.matrix.account_deactivate">Close your account</a>
      </p>
    `,
  })
}

function deviceUrl(oauth: OauthSettings, { device_id: id }: Device): string {
  const query = new URLSearchParams({ action: 'org.matrix.device_view', device_id: id })
  return `${oauthUrl(oauth, 'account')}?${query.toString()}`
}

function lastSeen({ last_seen_ts: time }: Device): Html {
  if (time === undefined) return html``
  const text = new Date(time).toISOString()
  return html`<br />Last used <time datetime="${text}">${text.slice(0, 16).replace('T', ' ')} UTC</time>`
}

async function devicePage(c: AppContext, oauth: OauthSettings, browser: SignedIn): Promise<Response> {
  const { userId, shard } = browser.user
  const deviceId = c.req.query('device_id') ?? ''
  const device = await hubStub(c.env, shard).getDevice(userId, deviceId)
  if (!device) throw new MatrixError('M_NOT_FOUND', 404, 'You have no such session.')
  const { device_id: id, display_name: name, last_seen_ip: ip } = device
  const target = { action: 'account/end-session', purpose: endPurpose(id), fields: { device_id: id } }
  return await showPage(c, {
    title: name ?? id,
    content: () => html`
      <p>Session <b>${id}</b>${lastSeen(device)}${ip === undefined ? '' : html`<br />From ${ip}`}</p>
      <p>Who signs out loses encrypted messages that are kept nowhere else.</p>
      ${form(oauth, browser, target, html`<button>Sign out</button>`)}
      <p><a href="${oauthUrl(oauth, 'account')}">All sessions</a></p>
    `,
  })
}

const endPurpose = (deviceId: string) => `end session ${deviceId}`
const resetPurpose = 'reset cross-signing'

async function endSession(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const sent = await formFields(c)
  const deviceId = sent['device_id'] ?? ''
  const browser = await browserOf(c, oauth)
  checkForm(browser, endPurpose(deviceId), sent)
  // Whose time is over signs in once more.
  if (browser.user) await endDevices(c.env, browser.user, { only: [deviceId] })
  return redirectOnce(c, oauthUrl(oauth, 'account'), 303)
}

async function resetPage(c: AppContext, oauth: OauthSettings, browser: SignedIn): Promise<Response> {
  const target = { action: 'account/reset-cross-signing', purpose: resetPurpose, fields: {} }
  return await showPage(c, {
    title: 'Reset your identity?',
    content: () => html`
      <p>Account: <b>${browser.user.userId}</b></p>
      <p>
        An application asks to set up new keys for verification. Those you have verified will see that your
        identity has changed, and have to verify you again. Do this only if you cannot verify your session
        otherwise.
      </p>
      <p>
        If it was not you who wanted that, close this page: somebody else may have access to your account.
      </p>
      ${form(oauth, browser, target, html`<button>Reset</button>`)}
    `,
  })
}

async function allowReset(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const sent = await formFields(c)
  const browser = await browserOf(c, oauth)
  checkForm(browser, resetPurpose, sent)
  if (!browser.user) {
    return redirectOnce(c, `${oauthUrl(oauth, 'account')}?action=org.matrix.cross_signing_reset`, 303)
  }
  await allowCrossSigningReset(c.env, browser.user.userId)
  log({ event: 'cross_signing_reset_allowed', user_id: browser.user.userId })
  return await showPage(c, {
    title: 'Done',
    content: () =>
      html`<p>Your application can set up new keys within the next ten minutes. Go back to it now.</p>`,
  })
}
