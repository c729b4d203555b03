// What all requests have in common that lead to one of an identity server.
// Specification: identity service API, "Authentication" (MSC2140).

import * as v from 'valibot'
import type { AppContext } from '../http/app-type.ts'
import { checked } from '../http/json-body.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import type { JsonObject } from '../matrix/json.ts'

// RFC 6750, "b64token", and whatever else a header can carry.
const withToken = v.looseObject({
  id_access_token: v.pipe(v.string(), v.regex(/^[!-~]{1,4096}$/, 'not an access token')),
})

/** The token of a body that an identity server knows the client by. M_MISSING_PARAM: without one it tells nothing any more. */
export function identityAccessToken(body: JsonObject): string {
  return checked(withToken, body, 'M_INVALID_PARAM').id_access_token
}

/** Refuses with 429 whoever has us ask identity servers all the time. */
export async function limitIdentityRequests(c: AppContext): Promise<void> {
  await rateLimitUser(c.env, c.env.LOGIN_LIMIT, c.var.session, 'identity:')
}
