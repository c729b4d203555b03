// Endpoints that are for application services alone. Specification: application service API, "Client-Server API Extensions".

import { MatrixError } from '../errors.ts'
import type { AppContext } from '../http/app-type.ts'
import { accessToken, optionalFullSession } from '../http/session.ts'
import { appserviceOfToken } from './namespaces.ts'
import type { Appservice } from './registration.ts'

/**
 * The application service that asks. 403 M_FORBIDDEN for users, who hear of what is wrong with their own token before;
 * 401 M_MISSING_TOKEN, M_UNKNOWN_TOKEN.
 */
export async function requireAppservice(c: AppContext): Promise<Appservice> {
  const token = accessToken(c)
  const appservice = token === undefined ? undefined : appserviceOfToken(c.env, token)
  if (appservice) return appservice
  if (await optionalFullSession(c)) {
    throw new MatrixError('M_FORBIDDEN', 403, 'This endpoint is for application services alone')
  }
  throw new MatrixError('M_MISSING_TOKEN', 401, 'An access token is required')
}
