// The way to an identity provider. Specification: client-server API, "Redirecting to the Authentication server".

import { html } from 'hono/html'
import * as v from 'valibot'
import { config } from '../config.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { queryParams } from '../http/json-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { toPages } from '../oauth/aware-client.ts'
import { providerOf, requireSso, type SsoPurpose, startAttempt } from '../sso/attempt.ts'
import { providerLinks } from '../sso/provider-links.ts'
import { parseRedirectUrl } from '../sso/redirect-url.ts'
import { orRefusalPage } from '../sso/refusal.ts'
import type { SsoSettings } from '../sso/sso-settings.ts'
import { showPage } from '../web/page.ts'

const redirectQuery = v.object({ redirectUrl: v.string(), action: v.optional(v.string()) })

/** GET /login/sso/redirect and /login/sso/redirect/{idpId}. */
export function ssoLoginRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3loginssoredirect
  app.get('/_matrix/client/v3/login/sso/redirect', (c) =>
    orRefusalPage(c, async () => {
      const { oauth, passwordLogin } = config(c.env)
      // OAuth 2.0 aware clients offer no password themselves.
      if (oauth && passwordLogin) return toPages(c, oauth, loginPurpose(c))
      const sso = requireSso(c.env)
      const [first, ...others] = sso.providers
      return first && others.length === 0 ? await redirect(c, sso, first.id) : await chooser(c, sso)
    }),
  )

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3loginssoredirectidpid
  app.get('/_matrix/client/v3/login/sso/redirect/:idpId', (c) =>
    orRefusalPage(c, async () => await redirect(c, requireSso(c.env), c.req.param('idpId'))),
  )
}

async function redirect(c: AppContext, sso: SsoSettings, idpId: string): Promise<Response> {
  const provider = providerOf(sso, idpId)
  const purpose = loginPurpose(c)
  await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
  return await startAttempt(c, sso, provider, purpose)
}

function loginPurpose(c: AppContext): Extract<SsoPurpose, { redirectUrl: URL }> {
  const { redirectUrl: text, action } = queryParams(c, redirectQuery)
  const redirectUrl = parseRedirectUrl(text)
  if (!redirectUrl) {
    throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter redirectUrl: leads to no application')
  }
  // What else there may be one day is as if it were not there.
  return { redirectUrl, action: action === 'login' || action === 'register' ? action : undefined }
}

async function chooser(c: AppContext, sso: SsoSettings): Promise<Response> {
  const { redirectUrl, action } = loginPurpose(c)
  const query = `redirectUrl=${encodeURIComponent(redirectUrl.href)}${action === undefined ? '' : `&action=${action}`}`
  // Who comes to register finds those alone who let them.
  const open = action === 'register' ? sso.providers.filter(({ register }) => register) : []
  const offered = open.length === 0 ? sso.providers : open
  return await showPage(c, {
    title: action === 'register' ? 'Create an account' : 'Sign in',
    content: () => html`
      <p>How do you want to sign in?</p>
      ${providerLinks(offered, (id) => `${sso.baseUrl}/_matrix/client/v3/login/sso/redirect/${id}?${query}`)}
    `,
  })
}
