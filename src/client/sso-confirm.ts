// The end of a sign-in: who has signed in is asked whether the application may have the account, or do what it asked for.
// Specification: client-server API, security considerations of "SSO client login/authentication", "SSO during User-Interactive
// Authentication".

import { html } from 'hono/html'
import type { App, AppContext } from '../http/app-type.ts'
import { purposeOf } from '../http/auth-stages/purpose.ts'
import { formFields } from '../http/form-body.ts'
import { nextStages, settled } from '../http/interactive-auth-stages.ts'
import { log } from '../log.ts'
import type { UserId } from '../matrix/event.ts'
import { stringProperty } from '../matrix/json.ts'
import { oauthPath } from '../oauth/oauth-settings.ts'
import { forgetAttempt, ownAttempt, pageUrl, redirectOnce, requireSso, ssoPath } from '../sso/attempt.ts'
import { refuseEnded } from '../sso/found-account.ts'
import { handOverPage, handOverUrl } from '../sso/hand-over.ts'
import { isKnownClient } from '../sso/redirect-url.ts'
import { orRefusalPage, SsoRefusal } from '../sso/refusal.ts'
import type { SsoSettings } from '../sso/sso-settings.ts'
import {
  findInteractiveAuth,
  type InteractiveAuthSession,
  keepInteractiveAuth,
} from '../storage/interactive-auth-sessions.ts'
import { type SsoAttempt, useSsoAttempt } from '../storage/sso-attempts.ts'
import { authDonePage } from '../web/auth-done-page.ts'
import { showPage } from '../web/page.ts'
import { loginFallbackPath } from './login-fallback.ts'

/** GET and POST of the page. */
export function ssoConfirmRoutes(app: App): void {
  app.get(`${ssoPath}/confirm`, (c) =>
    orRefusalPage(c, async () => {
      const sso = requireSso(c.env)
      const attempt = identifiedAttempt(await ownAttempt(c, sso, c.req.query('attempt') ?? ''))
      return attempt.redirectUrl === null
        ? await stagePage(c, sso, attempt, await stageSession(c, attempt))
        : await handOverPage(c, clientQuestion(sso, attempt, new URL(attempt.redirectUrl)))
    }),
  )

  app.post(`${ssoPath}/confirm`, (c) =>
    orRefusalPage(c, async () => {
      const sso = requireSso(c.env)
      const form = await formFields(c)
      const attempt = identifiedAttempt(await ownAttempt(c, sso, stringProperty(form, 'attempt') ?? ''))
      return attempt.redirectUrl === null
        ? await completeStage(c, sso, attempt)
        : await toClient(c, sso, attempt, new URL(attempt.redirectUrl), 303)
    }),
  )
}

function clientQuestion(sso: SsoSettings, { id, userId }: IdentifiedAttempt, url: URL) {
  return { userId, url, form: confirmForm(sso, id, 'Continue') }
}

type IdentifiedAttempt = SsoAttempt & { readonly userId: UserId }

function identifiedAttempt(attempt: SsoAttempt): IdentifiedAttempt {
  const { userId } = attempt
  if (userId === null) throw new SsoRefusal('unknown-attempt')
  return { ...attempt, userId }
}

/** Sends who has signed in on: to a client that the operator knows at once, else to be asked. */
export async function goOn(
  c: AppContext,
  sso: SsoSettings,
  attempt: IdentifiedAttempt,
  status: 302 | 303,
): Promise<Response> {
  const url = attempt.redirectUrl === null ? undefined : new URL(attempt.redirectUrl)
  // Our own pages hand the login to the application that has opened them, or ask who is to have it themselves.
  const own = [loginFallbackPath, `${oauthPath}/signed-in`]
  const known = [...sso.knownClients, ...own.map((path) => new URL(`${sso.baseUrl}${path}`))]
  return url && isKnownClient(known, url)
    ? await toClient(c, sso, attempt, url, status)
    : redirectOnce(c, pageUrl(sso, 'confirm', attempt.id), status)
}

async function toClient(
  c: AppContext,
  sso: SsoSettings,
  attempt: IdentifiedAttempt,
  url: URL,
  status: 302 | 303,
): Promise<Response> {
  const { userId, provider } = attempt
  await refuseEnded(c.env, userId)
  await endAttempt(c, sso, attempt)
  const location = await handOverUrl(c.env, userId, url)
  log({ event: 'sso_login', user_id: userId, provider, purpose: 'login' })
  return redirectOnce(c, location, status)
}

async function endAttempt(c: AppContext, sso: SsoSettings, { id, provider }: SsoAttempt): Promise<void> {
  if (!(await useSsoAttempt(c.env, id))) throw new SsoRefusal('answered-before', provider)
  forgetAttempt(c, sso, id)
}

async function stageSession(c: AppContext, { authSession }: SsoAttempt): Promise<InteractiveAuthSession> {
  const session = authSession === null ? undefined : await findInteractiveAuth(c.env, authSession)
  if (session && nextStages(session).includes('m.login.sso')) return session
  throw new SsoRefusal('stage-over')
}

async function stagePage(
  c: AppContext,
  sso: SsoSettings,
  { id, userId }: IdentifiedAttempt,
  session: InteractiveAuthSession,
): Promise<Response> {
  return await showPage(c, {
    title: 'Confirm',
    content: () => html`
      <p>Account: <b>${userId}</b></p>
      <p>
        An application asks to <b>${purposeOf(session)}</b>. If it was not you who wanted that, close this
        page: somebody else may have access to your account.
      </p>
      ${confirmForm(sso, id, 'Confirm')}
    `,
  })
}

const confirmForm = (sso: SsoSettings, id: string, button: string) => html`
  <form method="post" action="${sso.baseUrl}${ssoPath}/confirm">
    <input type="hidden" name="attempt" value="${id}" />
    <button>${button}</button>
  </form>
`

async function completeStage(c: AppContext, sso: SsoSettings, attempt: IdentifiedAttempt): Promise<Response> {
  const session = await stageSession(c, attempt)
  const { userId, provider } = attempt
  // The user of the session is the one it was opened for: nobody else confirms.
  if (session.userId !== userId) throw new SsoRefusal('another-account', provider)
  await refuseEnded(c.env, userId)
  await endAttempt(c, sso, attempt)
  await keepInteractiveAuth(c.env, settled(session, 'm.login.sso', { ok: true, userId }).session)
  log({ event: 'sso_login', user_id: userId, provider, purpose: 'interactive-auth' })
  return await authDonePage(c)
}
