// Third-party identifiers that users bind at identity servers, and unbind: this server hands it on, and remembers where.
// Specification: client-server API, "Adding Account Administrative Contact Information" (MSC2140).

import * as v from 'valibot'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { checked, jsonBody, jsonObject } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'
import { bindIdentifier } from '../identity/binding.ts'
import { identityServerName } from '../identity/identity-server.ts'
import { type JsonObject, objectProperty } from '../matrix/json.ts'
import { thirdPartyIdentifier } from '../identity/third-party-identifier.ts'
import { unbindForUser } from '../identity/unbind-user.ts'
import { findBindings, keepBinding } from '../storage/identity-bindings.ts'
import { identityAccessToken, limitIdentityRequests } from './identity-requests.ts'

const opaque = v.pipe(
  v.string(),
  v.regex(/^[0-9a-zA-Z.=_-]{1,255}$/, 'not 1 to 255 of the characters allowed'),
)
const bindBody = v.looseObject({ client_secret: opaque, sid: opaque, id_server: v.string() })
const unbindBody = v.looseObject({
  id_server: v.optional(v.string()),
  medium: v.string(),
  address: v.string(),
})

// Each is to be unbound when the account ends, within one request.
const mostBindings = 10

/** POST /account/3pid/bind, /account/3pid/unbind, and /account/3pid, which is an old name of the first. */
export function identityBindingRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidbind
  app.post('/_matrix/client/v3/account/3pid/bind', requireSession(), async (c) => {
    await bind(c, await jsonObject(c))
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pid
  app.post('/_matrix/client/v3/account/3pid', requireSession(), async (c) => {
    const credentials = objectProperty(await jsonObject(c), 'three_pid_creds')
    if (!credentials) throw new MatrixError('M_MISSING_PARAM', 400, 'Missing field: three_pid_creds')
    await bind(c, credentials)
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidunbind
  app.post('/_matrix/client/v3/account/3pid/unbind', requireSession(), async (c) => {
    const { medium, address, id_server } = await jsonBody(c, unbindBody)
    const identifier = thirdPartyIdentifier(medium, address)
    const idServer = id_server === undefined ? undefined : identityServerName(id_server)
    await limitIdentityRequests(c)
    const { result, refusals } = await unbindForUser(c.env, c.var.session.userId, identifier, idServer)
    // What the identity server refuses is for the client to know.
    if (refusals[0]) throw refusals[0]
    return c.json({ id_server_unbind_result: result })
  })
}

async function bind(c: AppContext, body: JsonObject): Promise<void> {
  const { userId } = c.var.session
  const { sid, client_secret, id_server } = checked(bindBody, body, 'M_INVALID_PARAM')
  const server = { name: identityServerName(id_server), accessToken: identityAccessToken(body) }
  await limitIdentityRequests(c)
  if ((await findBindings(c.env, userId)).length >= mostBindings) {
    throw new MatrixError('M_THREEPID_DENIED', 403, `No more than ${mostBindings} identifiers can be bound`)
  }
  const bound = await bindIdentifier(c.env, server, userId, { sid, client_secret })
  await keepBinding(c.env, userId, { ...bound, idServer: server.name })
}
