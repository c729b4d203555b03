// Specification: client-server API, "Account deactivation".

import * as v from 'valibot'
import { hubStub } from '../env.ts'
import type { App } from '../http/app-type.ts'
import { interactiveAuth } from '../http/interactive-auth.ts'
import { checked, jsonObject } from '../http/json-body.ts'
import { ownerFlows, passwordFlows } from '../http/owner-flows.ts'
import { rateLimitByAddress } from '../http/rate-limit.ts'
import { optionalFullSession } from '../http/session.ts'
import { identityServerName } from '../identity/identity-server.ts'
import { unbindUser } from '../identity/unbind-user.ts'
import { log } from '../log.ts'
import { threepidsOf } from '../storage/threepids.ts'
import { deactivateUser } from '../storage/users.ts'
import { authenticatedUser } from './authenticated-user.ts'

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
    const contacts = idServer === undefined ? [] : await threepidsOf(c.env, user.userId)
    const hub = hubStub(c.env, user.shard)
    // A crash in between keeps nobody in their rooms.
    await hub.expectRoomsTask(user.userId, 'leave')
    // Tokens and password first: from here on nobody acts as this user.
    await deactivateUser(c.env, user.userId, erase, Date.now())
    log({ event: 'user_deactivated', user_id: user.userId })
    await hub.deleteDevices(user.userId, { allBut: undefined })
    if (erase) await hub.eraseAccountData(user.userId)
    // Nobody can ask for the keys again, and nobody else can use them.
    await hub.eraseKeyBackups(user.userId)
    await hub.eraseSigningKeys(user.userId)
    await hub.startRoomsTask(user.userId, 'leave')
    return c.json({ id_server_unbind_result: await unbindUser(c.env, user.userId, { idServer, contacts }) })
  })
}
