// Clients that have no browser: somebody lets them in with one elsewhere. Specification: client-server API, "Device authorisation
// flow"; RFC 8628.

import { randomInt } from 'node:crypto'
import { html } from 'hono/html'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { formFields } from '../http/form-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { log } from '../log.ts'
import { findClient } from '../storage/oauth-clients.ts'
import {
  answerUserCode,
  deviceCodeLifetimeMs,
  findUserCode,
  insertDeviceCode,
  pollIntervalMs,
} from '../storage/oauth-device-codes.ts'
import { newSecretToken, tokenHash } from '../storage/secret-token.ts'
import type { User } from '../storage/users.ts'
import { showPage } from '../web/page.ts'
import { askingClient } from './asking-client.ts'
import { type Browser, browserOf, checkForm } from './browser.ts'
import { deviceCodeGrant } from './client-metadata.ts'
import { consentText, decisionButtons } from './consent.ts'
import { formParameters, OauthError, orOauthError, requireOauth } from './oauth-error.ts'
import { oauthPath, type OauthSettings, oauthUrl } from './oauth-settings.ts'
import { currentPage, form, page } from './pages.ts'
import { parseScope } from './scope.ts'
import { signInPage, otherAccount } from './sign-in.ts'

/** POST of the device authorization endpoint, GET and POST of the page where users agree. */
export function deviceAuthorizationRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#device-authorisation-flow
  app.post(`${oauthPath}/device-authorization`, (c) => orOauthError(c, () => begin(c)))
  page(app, 'link', { get: linkPage, post: decided })
}

async function begin(c: AppContext): Promise<Response> {
  const oauth = requireOauth(c.env)
  await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
  const parameters = await formParameters(c)
  const clientId = askingClient(c, parameters)
  const client = await findClient(c.env, clientId)
  if (!client) throw new OauthError('invalid_client', 'The client is not registered')
  if (!client.grant_types.includes(deviceCodeGrant)) {
    throw new OauthError('unauthorized_client', 'The client did not register for this grant type')
  }
  const scope = parseScope(parameters.get('scope'))
  const deviceCode = newSecretToken()
  const request = {
    codeHash: tokenHash(deviceCode),
    clientId,
    scope: scope.text,
    deviceId: scope.deviceId,
  }
  const userCode = await withUserCode((code) => insertDeviceCode(c.env, { ...request, userCode: code }))
  const uri = oauthUrl(oauth, 'link')
  return c.json({
    device_code: deviceCode,
    user_code: shownCode(userCode),
    verification_uri: uri,
    verification_uri_complete: `${uri}?user_code=${shownCode(userCode)}`,
    expires_in: deviceCodeLifetimeMs / 1000,
    interval: pollIntervalMs / 1000,
  })
}

// RFC 8628, section 6.1: without vowels there are no words, and no letter looks like a digit.
const alphabet = 'BCDFGHJKLMNPQRSTVWXZ'

async function withUserCode(insert: (userCode: string) => Promise<boolean>): Promise<string> {
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const code = Array.from({ length: 8 }, () => alphabet.charAt(randomInt(alphabet.length))).join('')
    if (await insert(code)) return code
  }
  throw new Error('no free user code was found')
}

const shownCode = (code: string) => `${code.slice(0, 4)}-${code.slice(4)}`

/** What was typed in, however it was written. */
function typedCode(text: string | undefined): string {
  return (text ?? '').toUpperCase().replace(/[^A-Z]/g, '')
}

async function linkPage(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const browser = await browserOf(c, oauth)
  const next = currentPage(c, 'link')
  if (!browser.user) return await signInPage(c, oauth, browser, { next })
  const code = typedCode(c.req.query('user_code'))
  if (code === '') return await codePage(c, oauth)
  return await consentPage(c, oauth, browser, browser.user, code)
}

async function codePage(c: AppContext, oauth: OauthSettings, failure?: string): Promise<Response> {
  return await showPage(c, {
    title: 'Let an application in',
    status: failure === undefined ? 200 : 404,
    content: () => html`
      ${failure === undefined ? '' : html`<p role="alert">${failure}</p>`}
      <form method="get" action="${oauthUrl(oauth, 'link')}">
        <label>
          The code that the application shows
          <input name="user_code" autocomplete="off" autocapitalize="characters" required autofocus />
        </label>
        <button>Continue</button>
      </form>
    `,
  })
}

async function consentPage(
  c: AppContext,
  oauth: OauthSettings,
  browser: Browser,
  user: User,
  code: string,
): Promise<Response> {
  // Codes are short: nobody tries many.
  await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
  const found = await findUserCode(c.env, code)
  const client = found && (await findClient(c.env, found.clientId))
  if (!found || !client) return await codePage(c, oauth, 'There is no such code, or it has expired.')
  const text = await consentText(c, user, client, parseScope(found.scope), undefined)
  const fields = { user_code: code }
  return await showPage(c, {
    title: 'Let this application in?',
    content: () => html`
      <p>
        Does the device in front of you show the code <b>${shownCode(code)}</b>? If somebody sent it to you,
        do not go on: they would be let in.
      </p>
      ${text} ${form(oauth, browser, { action: 'link', purpose: purposeOf(code), fields }, decisionButtons)}
      ${otherAccount(oauth, browser, `link?user_code=${code}`)}
    `,
  })
}

const purposeOf = (code: string) => `link ${code}`

async function decided(c: AppContext, oauth: OauthSettings): Promise<Response> {
  const sent = await formFields(c)
  const code = typedCode(sent['user_code'])
  const browser = await browserOf(c, oauth)
  checkForm(browser, purposeOf(code), sent)
  if (!browser.user) return await signInPage(c, oauth, browser, { next: `link?user_code=${code}` })
  const { userId } = browser.user
  const allowed = sent['decision'] === 'allow'
  if (!allowed && sent['decision'] !== 'deny')
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid field decision')
  const clientId = await answerUserCode(c.env, code, allowed ? { userId } : { denied: true })
  if (clientId === undefined) return await codePage(c, oauth, 'The code has expired, or was answered before.')
  if (allowed) log({ event: 'oauth_allowed', user_id: userId, client_id: clientId })
  return await showPage(c, {
    title: allowed ? 'Done' : 'Not let in',
    content: () => html`<p>You can close this page and go back to your application.</p>`,
  })
}
