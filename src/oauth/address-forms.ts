// Adding an address to an account, and removing one, on the account page: clients of the OAuth 2.0 API cannot. Specification: client-server
// API, "Adding Account Administrative Contact Information".

import { html } from 'hono/html'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { redirectOnce } from '../sso/attempt.ts'
import { newSecretToken } from '../storage/secret-token.ts'
import { addThreepid, findValidation } from '../storage/threepid-validations.ts'
import { removeThreepid } from '../storage/threepids.ts'
import { acceptedEmail, inVain } from '../threepid/email-standing.ts'
import { requestEmailToken } from '../threepid/validate-email.ts'
import { type Failure, failureText } from '../web/failure.ts'
import { showPage } from '../web/page.ts'
import { accountUrl } from './account-actions.ts'
import { accountFooter, accountForm, requirePassword, type Sent } from './account-form.ts'
import { confirmPurpose, removePurpose } from './address-list.ts'
import type { SignedIn } from './browser.ts'
import type { OauthSettings } from './oauth-settings.ts'
import { form } from './pages.ts'
import { profilePage, refuseSuspendedUser } from './profile-page.ts'

/** POST of the forms. */
export function addressFormRoutes(app: App): void {
  const onProfile = { action: 'org.matrix.profile', show: profilePage } as const
  accountForm(app, { name: 'confirm-address', purpose: () => confirmPurpose, ...onProfile, run: sendMail })
  accountForm(app, {
    name: 'add-address',
    purpose: (sent) => addPurpose(sent['sid'] ?? ''),
    ...onProfile,
    run: add,
  })
  accountForm(app, {
    name: 'remove-address',
    purpose: (sent) => removePurpose(sent['address'] ?? ''),
    ...onProfile,
    run: remove,
  })
}

// Whoever sends it was asked for their password before.
const addPurpose = (sid: string) => `add address ${sid}`

async function sendMail(
  c: AppContext,
  oauth: OauthSettings,
  browser: SignedIn,
  sent: Sent,
): Promise<Response> {
  const address = acceptedEmail(c.env, (sent['email'] ?? '').trim(), 'add')
  // An address resets the password: whoever finds a browser that is signed in must not get that far.
  await requirePassword(c, browser.user, sent)
  const sid = await requestEmailToken(c.env, {
    purpose: 'add',
    address,
    clientSecret: newSecretToken(),
    sendAttempt: 1,
    nextLink: undefined,
    instead: await inVain(c.env, 'add', address, true),
  })
  return await waitingPage(c, oauth, browser, { sid, address })
}

async function waitingPage(
  c: AppContext,
  oauth: OauthSettings,
  browser: SignedIn,
  { sid, address }: { readonly sid: string; readonly address: string },
  failure?: Failure,
): Promise<Response> {
  const target = { action: 'account/add-address', purpose: addPurpose(sid), fields: { sid } }
  return await showPage(c, {
    title: 'Confirm your address',
    status: failure?.status ?? 200,
    content: () => html`
      ${failureText(failure)}
      <p>Open the link in the mail to <b>${address}</b>, confirm the address there, and continue here.</p>
      ${form(oauth, browser, target, html`<button>Continue</button>`)} ${accountFooter(oauth, browser)}
    `,
  })
}

async function add(c: AppContext, oauth: OauthSettings, browser: SignedIn, sent: Sent): Promise<Response> {
  await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
  const sid = sent['sid'] ?? ''
  const validation = await findValidation(c.env, sid, Date.now())
  if (validation?.validatedAt === null) {
    const failure = { text: 'The address has not been confirmed yet', status: 403 } as const
    return await waitingPage(c, oauth, browser, validation, failure)
  }
  const outcome = await addThreepid(c.env, sid, browser.user.userId, Date.now())
  if (outcome === 'in-use') {
    throw new MatrixError('M_THREEPID_IN_USE', 400, 'The address belongs to another account')
  }
  if (outcome === 'not-validated') {
    throw new MatrixError(
      'M_THREEPID_AUTH_FAILED',
      403,
      'This took too long. Please add the address once more',
    )
  }
  return redirectOnce(c, accountUrl(oauth, 'org.matrix.profile'), 303)
}

async function remove(
  c: AppContext,
  oauth: OauthSettings,
  { user }: SignedIn,
  sent: Sent,
): Promise<Response> {
  refuseSuspendedUser(user)
  const address = sent['address'] ?? ''
  await removeThreepid(c.env, user.userId, 'email', address)
  await hubStub(c.env, user.shard).dropEmailPushers(user.userId, { address })
  return redirectOnce(c, accountUrl(oauth, 'org.matrix.profile'), 303)
}
