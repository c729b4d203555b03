// Which client asks for tokens. Specification: client-server API, "Grant types"; RFC 6749, sections 2.3 and 5.2.

import type { AppContext } from '../http/app-type.ts'
import { OauthError, requiredParameter } from './oauth-error.ts'

/**
 * The id of the client that asks. All clients are public, as they register with token_endpoint_auth_method "none": what anybody may
 * say they are, nobody is taken for who shows a secret that was never looked at. OauthError invalid_request, invalid_client.
 */
export function askingClient(c: AppContext, parameters: ReadonlyMap<string, string>): string {
  const isBasic = /^basic\b/i.test(c.req.header('Authorization') ?? '')
  if (isBasic || parameters.has('client_secret') || parameters.has('client_assertion')) {
    throw new OauthError('invalid_client', 'Clients have no secrets here: token_endpoint_auth_method is none')
  }
  return requiredParameter(parameters, 'client_id')
}
