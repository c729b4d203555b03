// What clients have to know of this server as an authorization server. Specification: client-server API, "Server metadata discovery",
// "Account management URL discovery"; RFC 8414; RFC 9207, section 3. Unstable: MSC2965.

import type { App, AppContext } from '../http/app-type.ts'
import type { JsonObject } from '../matrix/json.ts'
import { accountActions } from './account-actions.ts'
import { canRegister } from './can-register.ts'
import { deviceCodeGrant } from './client-metadata.ts'
import { requireOauth } from './oauth-error.ts'
import { type OauthSettings, oauthUrl } from './oauth-settings.ts'

/** The members of the metadata that are addresses, with the page of each below `oauthPath`. */
export const oauthEndpoints = {
  authorization_endpoint: 'authorize',
  token_endpoint: 'token',
  revocation_endpoint: 'revoke',
  registration_endpoint: 'register-client',
  device_authorization_endpoint: 'device-authorization',
  account_management_uri: 'account',
} as const

/** GET /auth_metadata, and the well-known documents of the issuer. */
export function metadataRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1auth_metadata
  app.get('/_matrix/client/v1/auth_metadata', answer)
  app.get('/_matrix/client/unstable/org.matrix.msc2965/auth_metadata', answer)

  // What MSC2965 had at first: clients then ask the issuer for its own document.
  app.get('/_matrix/client/unstable/org.matrix.msc2965/auth_issuer', (c) =>
    c.json({ issuer: requireOauth(c.env).issuer }),
  )
  app.get('/.well-known/oauth-authorization-server', answer)
  app.get('/.well-known/openid-configuration', answer)
}

function answer(c: AppContext): Response {
  const oauth = requireOauth(c.env)
  c.header('Cache-Control', 'public, max-age=3600')
  return c.json(metadata(oauth, canRegister(c.env)))
}

// Only what works is named.
function metadata(oauth: OauthSettings, registers: boolean): JsonObject {
  const addresses = Object.entries(oauthEndpoints).map(([name, page]) => [name, oauthUrl(oauth, page)])
  return {
    issuer: oauth.issuer,
    ...Object.fromEntries(addresses),
    response_types_supported: ['code'],
    response_modes_supported: ['query', 'fragment'],
    grant_types_supported: ['authorization_code', 'refresh_token', deviceCodeGrant],
    code_challenge_methods_supported: ['S256'],
    token_endpoint_auth_methods_supported: ['none'],
    revocation_endpoint_auth_methods_supported: ['none'],
    authorization_response_iss_parameter_supported: true,
    ...(registers ? { prompt_values_supported: ['create'] } : {}),
    account_management_actions_supported: [...accountActions],
  }
}
