// A forgotten password: who has an address of the account chooses another, and goes on. Specification: client-server API, "Password
// management".

import { html } from 'hono/html'
import { setPassword, useAddress } from '../client/set-password.ts'
import { config } from '../config.ts'
import { type Env, passwordHasherStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { formFields } from '../http/form-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { redirectOnce } from '../sso/attempt.ts'
import { newSecretToken } from '../storage/secret-token.ts'
import { findValidation, type Validation } from '../storage/threepid-validations.ts'
import { threepidOwner } from '../storage/threepids.ts'
import { findUser, type User } from '../storage/users.ts'
import { acceptedEmail, inVain } from '../threepid/email-standing.ts'
import { requestEmailToken } from '../threepid/validate-email.ts'
import { type Failure, failureOf, failureText } from '../web/failure.ts'
import { showPage } from '../web/page.ts'
import type { Sent } from './account-form.ts'
import { type Browser, browserOf, checkForm, refuseUnfit, signIn } from './browser.ts'
import { checkedNewPassword, newPasswordFields } from './new-password.ts'
import { type OauthSettings, oauthUrl } from './oauth-settings.ts'
import { form, nextPage, page } from './pages.ts'

/** GET of the page, POST of the address, then of the password. */
export function recoveryPageRoutes(app: App): void {
  page(app, 'recover', { get: begin, post: sendMail })
  page(app, 'recover/password', { post: choose })
}

/** What somebody is in the middle of. */
interface Step {
  readonly browser: Browser
  readonly next: string
}

const addressPurpose = 'recover'
const passwordPurpose = (sid: string) => `recover ${sid}`

async function begin(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const next = nextPage(c.req.query('next'))
  return await addressPage(c, oauth, { browser: await browserOf(c, oauth), next })
}

async function addressPage(
  c: AppContext,
  oauth: OauthSettings,
  { browser, next }: Step,
  failure?: Failure,
): Promise<Response> {
  refuseWithoutMail(c.env)
  const target = { action: 'recover', purpose: addressPurpose, fields: { next } }
  const fields = html`
    <label>
      E-mail address
      <input type="email" name="email" autocomplete="email" required autofocus />
    </label>
    <button>Continue</button>
  `
  return await showPage(c, {
    title: 'Forgotten your password?',
    status: failure?.status ?? 200,
    content: () => html`
      ${failureText(failure)}
      <p>An e-mail address of your account gets a mail with a link.</p>
      ${form(oauth, browser, target, fields)}
      <p><a href="${oauthUrl(oauth, next)}">Back to the sign-in</a></p>
    `,
  })
}

async function sendMail(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const sent = await formFields(c)
  const step = { browser: await browserOf(c, oauth), next: nextPage(sent['next']) }
  checkForm(step.browser, addressPurpose, sent)
  return await orAgain(
    async () => {
      refuseWithoutMail(c.env)
      await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
      const address = acceptedEmail(c.env, (sent['email'] ?? '').trim(), 'password')
      const sid = await requestEmailToken(c.env, {
        purpose: 'password',
        address,
        clientSecret: newSecretToken(),
        sendAttempt: 1,
        nextLink: undefined,
        instead: await inVain(c.env, 'password', address, false),
      })
      return await passwordPage(c, oauth, step, { sid, address })
    },
    (failure) => addressPage(c, oauth, step, failure),
  )
}

async function passwordPage(
  c: AppContext,
  oauth: OauthSettings,
  { browser, next }: Step,
  { sid, address }: Pick<Validation, 'sid' | 'address'>,
  failure?: Failure,
): Promise<Response> {
  const target = { action: 'recover/password', purpose: passwordPurpose(sid), fields: { sid, next } }
  return await showPage(c, {
    title: 'Choose a new password',
    status: failure?.status ?? 200,
    content: () => html`
      ${failureText(failure)}
      <p>
        A mail is on its way to <b>${address}</b>. First open the link in it and confirm the address there.
      </p>
      ${form(oauth, browser, target, html`${newPasswordFields}<button>Change password</button>`)}
    `,
  })
}

async function choose(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const sent = await formFields(c)
  const step = { browser: await browserOf(c, oauth), next: nextPage(sent['next']) }
  const sid = sent['sid'] ?? ''
  // Nobody but the browser that has asked goes on with what the mail was for.
  checkForm(step.browser, passwordPurpose(sid), sent)
  await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
  const validation = await findValidation(c.env, sid, Date.now())
  if (!validation) throw new MatrixError('M_SESSION_EXPIRED', 403, 'This took too long. Please start again')
  return await orAgain(
    async () => {
      const user = await changed(c.env, validation, sent)
      await signIn(c, oauth, step.browser, user)
      return redirectOnce(c, oauthUrl(oauth, step.next), 303)
    },
    (failure) => passwordPage(c, oauth, step, validation, failure),
  )
}

async function changed(env: Env, { sid, address, validatedAt }: Validation, sent: Sent): Promise<User> {
  refuseWithoutMail(env)
  const { password, ended } = checkedNewPassword(sent)
  if (validatedAt === null) {
    throw new MatrixError('M_UNAUTHORIZED', 403, 'The address has not been confirmed yet')
  }
  const owner = await threepidOwner(env, 'email', address)
  const user = owner && (await findUser(env, owner))
  refuseUnfit(user)
  const passwordHash = await passwordHasherStub(env).hash(password)
  await useAddress(env, sid, user.userId)
  await setPassword(env, user, passwordHash, ended)
  return user
}

async function orAgain(
  run: () => Promise<Response>,
  again: (failure: Failure) => Promise<Response>,
): Promise<Response> {
  try {
    return await run()
  } catch (error) {
    return await again(failureOf(error))
  }
}

/** Whether a forgotten password can be replaced. */
export function canRecover(env: Env): boolean {
  const { mail, passwordLogin } = config(env)
  return mail !== undefined && passwordLogin
}

function refuseWithoutMail(env: Env): void {
  if (canRecover(env)) return
  throw new MatrixError('M_FORBIDDEN', 403, 'This server cannot send you a mail for a new password')
}
