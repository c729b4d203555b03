// m.login.recaptcha, and the same with Turnstile. Specification: client-server API, "Google ReCaptcha".
//
// Clients that know m.login.recaptcha show Google's widget, which makes nothing of a key of Turnstile's. So that is a
// stage by a name that none of them knows: they all open the fallback page for it.

import { html } from 'hono/html'
import { config } from '../../config.ts'
import type { Env } from '../../env.ts'
import { MatrixError } from '../../errors.ts'
import { type JsonObject, stringProperty } from '../../matrix/json.ts'
import type { InteractiveAuthSession } from '../../storage/interactive-auth-sessions.ts'
import { needsScript } from '../../web/page.ts'
import type { AuthStage, StageOutcome } from './auth-stage.ts'
import type { CaptchaSettings } from './captcha-settings.ts'
import { verifyCaptcha } from './verify-captcha.ts'

/** The stage of each service. */
export const captchaStageNames = {
  recaptcha: 'm.login.recaptcha',
  turnstile: 'hearth.login.turnstile',
} as const

export const captchaStage: AuthStage = {
  params: (env) => ({ public_key: requireCaptcha(env).siteKey }),
  perform,
  page: {
    title: 'Are you human?',
    // The widgets of both services bring a form field, each its own.
    fields: ['g-recaptcha-response', 'cf-turnstile-response'],
    sources: (env) => requireCaptcha(env).sources,
    content: ({ env, nonce }) => {
      const { script, widgetClass, siteKey } = requireCaptcha(env)
      return html`
        <p>This server wants to know that no machine is registering.</p>
        <div class="${widgetClass}" data-sitekey="${siteKey}"></div>
        ${needsScript(nonce)}
        <script nonce="${nonce}" src="${script}" async defer></script>
      `
    },
  },
}

async function perform(env: Env, session: InteractiveAuthSession, auth: JsonObject): Promise<StageOutcome> {
  const captcha = requireCaptcha(env)
  const response = stringProperty(auth, 'response') ?? stringProperty(auth, captcha.field)
  if (response === undefined || response === '') {
    return { ok: false, errcode: 'M_CAPTCHA_NEEDED', error: 'Missing field: auth.response' }
  }
  const verdict = await verifyCaptcha(captcha, response)
  if (verdict === 'solved') return { ok: true, userId: session.userId }
  const error =
    verdict === 'not-solved' ? 'The captcha was not solved' : 'The captcha cannot be checked at the moment'
  return { ok: false, errcode: 'M_CAPTCHA_INVALID', error }
}

function requireCaptcha(env: Env): CaptchaSettings {
  const { captcha } = config(env)
  if (captcha) return captcha
  throw new MatrixError('M_UNRECOGNIZED', 404, 'This server has no captcha')
}
