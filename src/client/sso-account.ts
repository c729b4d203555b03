// The page where somebody who signs in for the first time gets their account: a user name, and what there is to accept.
// Specification: client-server API, "Handling the callback from the Authentication server"; "Terms of service at registration".

import { html } from 'hono/html'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { isMatrixError, MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { policyCheckbox } from '../http/auth-stages/terms.ts'
import { formFields } from '../http/form-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import type { UserId } from '../matrix/event.ts'
import { stringProperty } from '../matrix/json.ts'
import { ownAttempt, pageUrl, providerOf, redirectOnce, requireSso, ssoPath } from '../sso/attempt.ts'
import type { NewIdentity } from '../sso/new-identity.ts'
import { cspSource } from '../sso/redirect-url.ts'
import { orRefusalPage, SsoRefusal } from '../sso/refusal.ts'
import type { SsoSettings } from '../sso/sso-settings.ts'
import { keepSsoIdentity, type SsoAttempt } from '../storage/sso-attempts.ts'
import { linkedUser } from '../storage/sso-links.ts'
import type { AcceptedPolicy } from '../storage/users.ts'
import { acceptedLanguages } from '../web/accepted-languages.ts'
import { type Failure, failureOf, failureText } from '../web/failure.ts'
import { type Html, showPage } from '../web/page.ts'
import { createAccount, freeUserId } from './create-account.ts'
import { goOn } from './sso-confirm.ts'

/** GET and POST of the page. */
export function ssoAccountRoutes(app: App): void {
  app.get(`${ssoPath}/account`, (c) =>
    orRefusalPage(c, async () => {
      const sso = requireSso(c.env)
      const attempt = await ownAttempt(c, sso, c.req.query('attempt') ?? '')
      if (attempt.userId !== null) return redirectOnce(c, pageUrl(sso, 'confirm', attempt.id), 303)
      return await accountPage(c, sso, attempt)
    }),
  )

  app.post(`${ssoPath}/account`, (c) => orRefusalPage(c, () => submitted(c)))
}

async function submitted(c: AppContext): Promise<Response> {
  const sso = requireSso(c.env)
  const form = await formFields(c)
  const attempt = await ownAttempt(c, sso, stringProperty(form, 'attempt') ?? '')
  try {
    await rateLimitByAddress(c, c.env.REGISTER_LIMIT)
    const userId = attempt.userId ?? (await newAccount(c.env, sso, attempt, form))
    await keepSsoIdentity(c.env, attempt.id, { userId })
    return await goOn(c, sso, { ...attempt, userId }, 303)
  } catch (error) {
    const typed = stringProperty(form, 'username')
    return await accountPage(c, sso, attempt, { ...failureOf(error), typed })
  }
}

async function newAccount(
  env: Env,
  sso: SsoSettings,
  attempt: SsoAttempt,
  form: Record<string, string>,
): Promise<UserId> {
  const { subject, displayName, email, localpart } = identityOf(attempt)
  const provider = providerOf(sso, attempt.provider)
  // What the operator has decided in the meantime counts.
  if (!provider.register) throw new SsoRefusal('no-account', provider.id)
  const policies = acceptedIn(env, form)
  const own = localpart === undefined ? undefined : await nameIfFree(env, localpart)
  const userId = own ?? (await freeUserId(env, (stringProperty(form, 'username') ?? '').trim()))
  try {
    const singleSignOn = { provider: provider.id, subject, displayName, email, policies }
    const account = await createAccount(env, { userId, password: null, singleSignOn })
    return account.userId
  } catch (error) {
    // A form that was sent twice has made the account by now.
    const made = await linkedUser(env, provider.id, subject)
    if (made === undefined) throw error
    return made
  }
}

/** What was accepted: all there is, in the versions that there are now. 400 M_TERMS_NOT_SIGNED. */
function acceptedIn(env: Env, form: Record<string, string>): AcceptedPolicy[] {
  return Object.entries(config(env).terms ?? {}).map(([policyId, { version }]) => {
    if (stringProperty(form, `policy ${policyId}`) !== version) {
      throw new MatrixError('M_TERMS_NOT_SIGNED', 400, 'All terms have to be accepted')
    }
    return { policyId, version }
  })
}

function identityOf({ identity }: SsoAttempt): NewIdentity {
  // The provider has not answered yet.
  if (identity === null) throw new SsoRefusal('unknown-attempt')
  return JSON.parse(identity) as NewIdentity
}

async function nameIfFree(env: Env, localpart: string): Promise<UserId | undefined> {
  try {
    return await freeUserId(env, localpart)
  } catch (error) {
    if (isMatrixError(error)) return undefined
    throw error
  }
}

interface RefusedForm extends Failure {
  readonly typed: string | undefined
}

async function accountPage(
  c: AppContext,
  sso: SsoSettings,
  attempt: SsoAttempt,
  failure?: RefusedForm,
): Promise<Response> {
  const { localpart, suggestion, displayName } = identityOf(attempt)
  const provider = providerOf(sso, attempt.provider)
  const { terms, serverName } = config(c.env)
  const languages = acceptedLanguages(c.req.header('Accept-Language'))
  const own = localpart === undefined ? undefined : await nameIfFree(c.env, localpart)
  return await showPage(c, {
    title: 'Create your account',
    status: failure?.status ?? 200,
    // The form leads on to the client where nothing is left to be asked.
    formTargets: attempt.redirectUrl === null ? [] : [cspSource(new URL(attempt.redirectUrl))],
    content: () => html`
      <p>
        You have signed in with
        ${provider.name}${displayName === undefined ? '' : html` as <b>${displayName}</b>`}, and have no
        account on ${serverName} yet.
      </p>
      <form method="post" action="${sso.baseUrl}${ssoPath}/account">
        ${failureText(failure)}
        <input type="hidden" name="attempt" value="${attempt.id}" />
        ${
          own === undefined
            ? userNameField(failure?.typed ?? suggestion, localpart, serverName)
            : html`<p>Your account will be <b>${own}</b>. This cannot be changed later.</p>`
        }
        ${Object.entries(terms ?? {}).map(([id, policy]) => policyCheckbox(id, policy, languages))}
        <button>Create account</button>
      </form>
    `,
  })
}

function userNameField(value: string, taken: string | undefined, serverName: string): Html {
  return html`${
      taken === undefined
        ? ''
        : html`<p>Your user name there, <b>${taken}</b>, cannot be had here. Please choose another one.</p>`
    }
    <label>
      User name
      <input
        name="username"
        value="${value}"
        autocomplete="username"
        autocapitalize="none"
        spellcheck="false"
        maxlength="255"
        required
        autofocus
      />
    </label>
    <p>Others will know you as @name:${serverName}. This cannot be changed later.</p>`
}
