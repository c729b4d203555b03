// Specification: client-server API, "Account deactivation".

import * as v from 'valibot'
import type { App } from '../http/app-type.ts'
import { interactiveAuth } from '../http/interactive-auth.ts'
import { checked, jsonObject } from '../http/json-body.ts'
import { ownerFlows, passwordFlows } from '../http/owner-flows.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { optionalFullSession } from '../http/session.ts'
import { identityServerName } from '../identity/identity-server.ts'
import { authenticatedUser } from './authenticated-user.ts'
import { deactivateAccount } from './deactivate-account.ts'

const deactivationBody = v.object({
  erase: v.optional(v.boolean(), false),
  id_server: v.optional(v.string()),
})

/** POST /account/deactivate. */
export function accountDeactivationRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountdeactivate
  app.post('/_matrix/client/v3/account/deactivate', async (c) => {
    const session = await optionalFullSession(c)
    if (!session?.appservice) await rateLimitByAddress(c, c.env.LOGIN_LIMIT)
    const body = await jsonObject(c)
    const { erase, id_server } = checked(deactivationBody, body, 'M_BAD_JSON')
    const idServer = id_server === undefined ? undefined : identityServerName(id_server)
    const flows = session ? await ownerFlows(c.env, session) : passwordFlows(c.env)
    const auth = await interactiveAuth(c, { body, flows, session })
    if (auth instanceof Response) return auth
    const user = await authenticatedUser(c.env, auth)
    const result = await deactivateAccount(c.env, user, { erase, idServer })
    return c.json({ id_server_unbind_result: result })
  })
}
