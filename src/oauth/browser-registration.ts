// Getting an account with a browser: the stages of registration one by one, then a user name and a password. Specification:
// client-server API, "User registration" of the OAuth 2.0 API; Initiating User Registration via OpenID Connect 1.0.

import { html } from 'hono/html'
import { createAccount, freeUserId } from '../client/create-account.ts'
import { registrationFlows } from '../client/registration-flows.ts'
import { config } from '../config.ts'
import type { Env } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { checkNewPassword } from '../http/check-password.ts'
import { formFields } from '../http/form-body.ts'
import {
  attemptStage,
  authStage,
  isComplete,
  nextStages,
  sessionLifetimeMs,
  type Stage,
  stageParams,
} from '../http/interactive-auth-stages.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import type { JsonObject } from '../matrix/json.ts'
import { redirectOnce } from '../sso/attempt.ts'
import {
  findInteractiveAuth,
  type InteractiveAuthSession,
  keepInteractiveAuth,
  openInteractiveAuth,
} from '../storage/interactive-auth-sessions.ts'
import { acceptedLanguages } from '../web/accepted-languages.ts'
import { type Failure, failureOf } from '../web/failure.ts'
import { showPage } from '../web/page.ts'
import { wayBack } from './authorization-request.ts'
import { type Browser, browserOf, checkForm, signIn } from './browser.ts'
import { registeringProviders, registersByPassword } from './can-register.ts'
import { type OauthSettings, oauthPath, oauthUrl } from './oauth-settings.ts'
import { form, linkBack, nextPage, page } from './pages.ts'
import { signInPage } from './sign-in.ts'
import { ssoLinks } from './sso-links.ts'

/** GET and POST of the registration page. */
export function browserRegistrationRoutes(app: App): void {
  page(app, 'register', { get: begin, post: submitted })
}

const operation = `POST ${oauthPath}/register`
const purpose = 'register'

async function begin(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const next = nextPage(c.req.query('next'))
  const browser = await browserOf(c, oauth)
  // Identity providers alone give accounts.
  if (!registersByPassword(c.env)) return await signInPage(c, oauth, browser, { next, registers: true })
  await rateLimitByAddress(c, c.env.REGISTER_LIMIT)
  const [flow = []] = await registrationFlows(c.env)
  const session = await openInteractiveAuth(
    c.env,
    { operation, bodyHash: '', userId: null, offer: { flows: [flow], params: stageParams(c.env, [flow]) } },
    sessionLifetimeMs([flow]),
  )
  return await nextStep(c, oauth, { browser, next, session })
}

interface Step {
  readonly browser: Browser
  readonly next: string
  readonly session: InteractiveAuthSession
}

interface Message extends Failure {
  readonly role: 'alert' | 'status'
}

async function submitted(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const sent = await formFields(c)
  const next = nextPage(sent['next'])
  const browser = await browserOf(c, oauth)
  checkForm(browser, purpose, sent)
  const session = await ownSession(c.env, sent['session'] ?? '')
  const step = { browser, next, session }
  try {
    await rateLimitByAddress(c, c.env.REGISTER_LIMIT)
    if (!registersByPassword(c.env))
      throw new MatrixError('M_FORBIDDEN', 403, 'Registration is closed on this server')
    const [stage] = nextStages(session)
    if (stage !== undefined) return await tryStage(c, oauth, step, stage, sent)
    return await create(c, oauth, step, sent)
  } catch (error) {
    return await nextStep(c, oauth, step, { ...failureOf(error), role: 'alert' }, sent['username'])
  }
}

async function ownSession(env: Env, id: string): Promise<InteractiveAuthSession> {
  const session = await findInteractiveAuth(env, id)
  if (session?.operation === operation) return session
  throw new MatrixError('M_FORBIDDEN', 403, 'This page has expired. Please start again in your application.')
}

async function tryStage(
  c: AppContext,
  oauth: OauthSettings,
  step: Step,
  stage: Stage,
  sent: Readonly<Record<string, string>>,
): Promise<Response> {
  const { session } = step
  // The form of a page before this one, which was sent twice.
  if (sent['stage'] !== stage) return await nextStep(c, oauth, step)
  const auth: JsonObject = { type: stage, session: session.id }
  const view = authStage(stage).page
  for (const name of 'visit' in view ? [] : view.fields) {
    const value = sent[name]
    if (value !== undefined) auth[name] = value
  }
  const { session: after, outcome } = await attemptStage(c.env, session, stage, auth)
  await keepInteractiveAuth(c.env, after)
  if (outcome.ok) return await nextStep(c, oauth, { ...step, session: after })
  // What is not done yet is no mistake.
  const role = outcome.errcode === 'M_UNAUTHORIZED' ? 'status' : 'alert'
  return await nextStep(c, oauth, { ...step, session: after }, { text: outcome.error, role, status: 401 })
}

async function nextStep(
  c: AppContext,
  oauth: OauthSettings,
  step: Step,
  message?: Message,
  typed?: string,
): Promise<Response> {
  const { browser, next } = step
  const session = await withoutDummies(c.env, step.session)
  const [stage] = nextStages(session)
  const view = stage === undefined ? undefined : authStage(stage).page
  if (view && 'visit' in view)
    throw new MatrixError('M_FORBIDDEN', 403, 'Registration takes another way here')
  const fields = { session: session.id, next, ...(stage === undefined ? {} : { stage }) }
  const languages = acceptedLanguages(c.req.header('Accept-Language'))
  // Another way from the beginning only.
  const begins = session.completed.every((done) => done === 'm.login.dummy')
  const providers = begins ? registeringProviders(c.env) : []
  const back = await wayBack(c.env, oauth, next)
  return await showPage(c, {
    title: view?.title ?? 'Create an account',
    status: message?.status ?? 200,
    ...(view?.sources && { sources: view.sources(c.env) }),
    content: (nonce) =>
      html`${message === undefined ? '' : html`<p role="${message.role}">${message.text}</p>`}
        ${ssoLinks(oauth, browser, providers, { next, registers: true })}
        ${form(
          oauth,
          browser,
          { action: 'register', purpose, fields },
          view
            ? html`${view.content({ env: c.env, session, nonce, languages })}
                <button>${view.button ?? 'Continue'}</button>`
            : accountFields(config(c.env).serverName, typed ?? ''),
        )}
        <p><a href="${oauthUrl(oauth, next)}">I have an account already</a></p>
        ${back ? linkBack(back) : ''}`,
  })
}

/** The session after the stages that ask nothing. */
async function withoutDummies(env: Env, session: InteractiveAuthSession): Promise<InteractiveAuthSession> {
  if (nextStages(session)[0] !== 'm.login.dummy') return session
  const { session: after } = await attemptStage(env, session, 'm.login.dummy', {})
  await keepInteractiveAuth(env, after)
  return after
}

const accountFields = (serverName: string, typed: string) => html`
  <label>
    User name
    <input
      name="username"
      value="${typed}"
      autocomplete="username"
      autocapitalize="none"
      spellcheck="false"
      maxlength="255"
      required
      autofocus
    />
  </label>
  <p>Others will know you as @name:${serverName}. This cannot be changed later.</p>
  <label>
    Password
    <input name="password" type="password" autocomplete="new-password" required />
  </label>
  <button>Create account</button>
`

async function create(
  c: AppContext,
  oauth: OauthSettings,
  { browser, next, session }: Step,
  sent: Readonly<Record<string, string>>,
): Promise<Response> {
  if (!isComplete(session)) throw new MatrixError('M_FORBIDDEN', 403, 'Something is still to be done before')
  const userId = await freeUserId(c.env, (sent['username'] ?? '').trim())
  const password = sent['password'] ?? ''
  checkNewPassword(password)
  const account = await createAccount(c.env, { userId, password, auth: session })
  await signIn(c, oauth, browser, account)
  return redirectOnce(c, oauthUrl(oauth, next), 303)
}
