// Registration of clients. Specification: client-server API, "Dynamic client registration flow"; RFC 7591, section 3.

import { isMatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonObject } from '../http/json-body.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import type { JsonObject } from '../matrix/json.ts'
import { registerClient } from '../storage/oauth-clients.ts'
import { clientIdOf, parseClientMetadata } from './client-metadata.ts'
import { OauthError, orOauthError } from './oauth-error.ts'
import { oauthPath } from './oauth-settings.ts'

/** POST of the registration endpoint. */
export function registerClientRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#dynamic-client-registration-flow
  app.post(`${oauthPath}/register-client`, (c) =>
    orOauthError(c, async () => {
      await rateLimitByAddress(c, c.env.REGISTER_LIMIT)
      const metadata = parseClientMetadata(await clientBody(c))
      const clientId = clientIdOf(metadata)
      await registerClient(c.env, clientId, metadata)
      return c.json({ client_id: clientId, ...metadata }, 201)
    }),
  )
}

async function clientBody(c: AppContext): Promise<JsonObject> {
  try {
    return await jsonObject(c)
  } catch (error) {
    if (isMatrixError(error)) throw new OauthError('invalid_client_metadata', error.message)
    throw error
  }
}
