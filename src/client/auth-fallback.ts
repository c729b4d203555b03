// Web pages that complete a stage of interactive authentication for clients that cannot.
// Specification: client-server API, "Fallback" of user-interactive authentication.

import { html } from 'hono/html'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import * as v from 'valibot'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { formFields } from '../http/form-body.ts'
import { attemptStage, authStage, isStage, nextStages, type Stage } from '../http/interactive-auth-stages.ts'
import { queryParams } from '../http/json-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { type JsonObject, stringProperty } from '../matrix/json.ts'
import {
  findInteractiveAuth,
  type InteractiveAuthSession,
  keepInteractiveAuth,
} from '../storage/interactive-auth-sessions.ts'
import { acceptedLanguages } from '../web/accepted-languages.ts'
import { authDonePage } from '../web/auth-done-page.ts'
import { type Failure, failureOf } from '../web/failure.ts'
import { showPage } from '../web/page.ts'

/** GET and POST /auth/{authType}/fallback/web. */
export function authFallbackRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#fallback
  app.get('/_matrix/client/v3/auth/:authType/fallback/web', async (c) => {
    const stage = stageParam(c)
    return await withSession(c, stage, async (session) => await formPage(c, stage, session))
  })

  app.post('/_matrix/client/v3/auth/:authType/fallback/web', async (c) => {
    const stage = stageParam(c)
    return await withSession(c, stage, async (session) => await submitted(c, stage, session))
  })
}

function stageParam(c: AppContext): Stage {
  const stage = c.req.param('authType') ?? ''
  if (isStage(stage)) return stage
  throw new MatrixError('M_UNRECOGNIZED', 404, 'There is no page for this stage')
}

async function withSession(
  c: AppContext,
  stage: Stage,
  show: (session: InteractiveAuthSession) => Promise<Response>,
): Promise<Response> {
  const { session: id } = queryParams(c, v.object({ session: v.string() }))
  const session = await findInteractiveAuth(c.env, id)
  if (!session) {
    return await failurePage(c, 404, 'This page has expired. Please start again in your application.')
  }
  if (session.completed.includes(stage)) return await authDonePage(c)
  // Stages are completed in the order of a flow, here as elsewhere.
  if (!nextStages(session).includes(stage)) {
    return await failurePage(c, 403, 'This is not the next step. Please go back to your application.')
  }
  return await show(session)
}

async function submitted(c: AppContext, stage: Stage, session: InteractiveAuthSession): Promise<Response> {
  try {
    await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
    const attempt = await attemptStage(c.env, session, stage, await authData(c, stage, session))
    await keepInteractiveAuth(c.env, attempt.session)
    const { outcome } = attempt
    if (outcome.ok) return await authDonePage(c)
    // What is not done yet is no mistake.
    const role = outcome.errcode === 'M_UNAUTHORIZED' ? 'status' : 'alert'
    return await formPage(c, stage, attempt.session, { text: outcome.error, role, status: 401 })
  } catch (error) {
    return await formPage(c, stage, session, { ...failureOf(error), role: 'alert' })
  }
}

async function authData(c: AppContext, stage: Stage, session: InteractiveAuthSession): Promise<JsonObject> {
  const form = await formFields(c)
  const auth: JsonObject = { type: stage, session: session.id }
  const { page } = authStage(stage)
  for (const name of 'visit' in page ? [] : page.fields) {
    const value = stringProperty(form, name)
    if (value !== undefined) auth[name] = value
  }
  // The page does not ask who somebody is where the session knows.
  if (session.userId !== null) auth.user = session.userId
  return auth
}

/** What came of the last try. */
interface Message extends Failure {
  readonly role: 'alert' | 'status'
}

async function formPage(
  c: AppContext,
  stage: Stage,
  session: InteractiveAuthSession,
  message?: Message,
): Promise<Response> {
  const { page } = authStage(stage)
  if ('visit' in page) return await page.visit(c, session)
  const { title, content, button = 'Continue', sources } = page
  const languages = acceptedLanguages(c.req.header('Accept-Language'))
  return await showPage(c, {
    title,
    status: message?.status ?? 200,
    ...(sources && { sources: sources(c.env) }),
    content: (nonce) =>
      html`<form method="post">
        ${message === undefined ? '' : html`<p role="${message.role}">${message.text}</p>`}
        ${content({ env: c.env, session, nonce, languages })}
        <button>${button}</button>
      </form>`,
  })
}

async function failurePage(c: AppContext, status: ContentfulStatusCode, text: string): Promise<Response> {
  return await showPage(c, {
    title: 'This did not work',
    status,
    content: () => html`<p role="alert">${text}</p>`,
  })
}
