// Web pages that complete a stage of interactive authentication for clients that cannot.
// Specification: client-server API, "Fallback" of user-interactive authentication.

import { html } from 'hono/html'
import * as v from 'valibot'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { performStage, type Stage } from '../http/interactive-auth-stages.ts'
import { queryParams } from '../http/json-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import type { JsonObject } from '../matrix/json.ts'
import {
  completeStage,
  findInteractiveAuth,
  type InteractiveAuthSession,
} from '../storage/interactive-auth-sessions.ts'
import { newSecretToken } from '../storage/secret-token.ts'

type Page = ReturnType<typeof html>

const fields: Record<Stage, Page> = {
  'm.login.dummy': html``,
  'm.login.password': html`<label
    >Password <input type="password" name="password" required autofocus
  /></label>`,
  'm.login.registration_token': html`<label
    >Registration token <input name="token" required autofocus
  /></label>`,
}

/** GET and POST /auth/{authType}/fallback/web. */
export function authFallbackRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#fallback
  app.get('/_matrix/client/v3/auth/:authType/fallback/web', async (c) => {
    const stage = stageParam(c)
    const session = await sessionParam(c)
    return session.completed.includes(stage) ? donePage(c) : formPage(c, stage)
  })

  app.post('/_matrix/client/v3/auth/:authType/fallback/web', async (c) => {
    await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
    const stage = stageParam(c)
    const session = await sessionParam(c)
    if (session.completed.includes(stage)) return donePage(c)
    const outcome = await performStage(c.env, session, stage, await authData(c, session))
    if (!outcome.ok) return formPage(c, stage, outcome.error)
    await completeStage(c.env, session, stage, outcome.userId)
    return donePage(c)
  })
}

function stageParam(c: AppContext): Stage {
  const stage = c.req.param('authType') ?? ''
  if (Object.hasOwn(fields, stage)) return stage as Stage
  throw new MatrixError('M_UNRECOGNIZED', 404, 'There is no page for this stage')
}

async function sessionParam(c: AppContext): Promise<InteractiveAuthSession> {
  const { session: id } = queryParams(c, v.object({ session: v.string() }))
  const session = await findInteractiveAuth(c.env, id)
  if (!session) throw new MatrixError('M_NOT_FOUND', 404, 'The session is unknown or has expired')
  return session
}

async function authData(c: AppContext, session: InteractiveAuthSession): Promise<JsonObject> {
  const form = await c.req.parseBody()
  const auth: JsonObject = {}
  for (const name of ['password', 'token']) {
    const value = form[name]
    if (typeof value === 'string') auth[name] = value
  }
  // The page does not ask who somebody is: the session knows, or this stage is not for it.
  if (session.userId !== null) auth.identifier = { type: 'm.id.user', user: session.userId }
  return auth
}

async function formPage(c: AppContext, stage: Stage, error?: string): Promise<Response> {
  const content = html`<form method="post">
    ${error === undefined ? '' : html`<p role="alert">${error}</p>`}
    <p>${fields[stage]}</p>
    <button>Continue</button>
  </form>`
  return await page(c, content, error === undefined ? 200 : 401)
}

async function donePage(c: AppContext): Promise<Response> {
  const nonce = newSecretToken()
  const content = html`<p>Done. You can go back to your application.</p>
    <script nonce="${nonce}">
      if (window.onAuthDone) window.onAuthDone()
      else if (window.opener && window.opener.postMessage) window.opener.postMessage('authDone', '*')
    </script>`
  return await page(c, content, 200, `'nonce-${nonce}'`)
}

async function page(c: AppContext, content: Page, status: 200 | 401, scripts = "'none'"): Promise<Response> {
  c.header(
    'Content-Security-Policy',
    `default-src 'none'; script-src ${scripts}; form-action 'self'; base-uri 'none'`,
  )
  c.header('Referrer-Policy', 'no-referrer')
  c.header('Cache-Control', 'no-store')
  const document = await html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <title>Authentication</title>
      </head>
      <body>
        ${content}
      </body>
    </html>`
  return c.html(document, status)
}
