// Third-party identifiers of an account: e-mail addresses, where this server sends mail.
// Specification: client-server API, "Adding Account Administrative Contact Information".

import * as v from 'valibot'
import { hubStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { interactiveAuth } from '../http/interactive-auth.ts'
import { checked, jsonBody, jsonObject } from '../http/json-body.ts'
import { ownerFlows } from '../http/owner-flows.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { refuseAppservice, refuseSuspended, requireSession } from '../http/session.ts'
import { identityServerName } from '../identity/identity-server.ts'
import { thirdPartyIdentifier } from '../identity/third-party-identifier.ts'
import { unbindForUser } from '../identity/unbind-user.ts'
import { requireMail } from '../mail/send-mail.ts'
import { addThreepid } from '../storage/threepid-validations.ts'
import { removeThreepid, threepidsOf } from '../storage/threepids.ts'
import { validationOf } from '../threepid/validate-email.ts'
import { limitIdentityRequests } from './identity-requests.ts'

const addBody = v.object({ client_secret: v.string(), sid: v.string() })
const deleteBody = v.object({ medium: v.string(), address: v.string(), id_server: v.optional(v.string()) })

/** GET /account/3pid, POST /account/3pid/add and /account/3pid/delete. */
export function administrativeContactRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3account3pid
  app.get('/_matrix/client/v3/account/3pid', requireSession(), async (c) => {
    const threepids = await threepidsOf(c.env, c.var.session.userId)
    return c.json({
      threepids: threepids.map(({ medium, address, validatedAt, addedAt }) => ({
        medium,
        address,
        validated_at: validatedAt,
        added_at: addedAt,
      })),
    })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidadd
  app.post('/_matrix/client/v3/account/3pid/add', requireSession(), async (c) => {
    const { session } = c.var
    refuseAppservice(session)
    await rateLimitUser(c.env, c.env.LOGIN_LIMIT, c.var.session)
    requireMail(c.env)
    const body = await jsonObject(c)
    const { sid, client_secret: clientSecret } = checked(addBody, body, 'M_BAD_JSON')
    // An address resets the password: whoever finds an access token must not get that far.
    const auth = await interactiveAuth(c, { body, flows: await ownerFlows(c.env, session), session })
    if (auth instanceof Response) return auth
    if (!(await validationOf(c.env, { sid, clientSecret }))) throw notValidated()
    const outcome = await addThreepid(c.env, sid, session.userId, Date.now())
    if (outcome === 'not-validated') throw notValidated()
    // An address has one account.
    if (outcome === 'in-use') {
      throw new MatrixError('M_THREEPID_IN_USE', 400, 'The address belongs to another account')
    }
    return c.json({})
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3piddelete
  app.post('/_matrix/client/v3/account/3pid/delete', requireSession(), async (c) => {
    const { session } = c.var
    refuseSuspended(session)
    const { medium, address, id_server: server } = await jsonBody(c, deleteBody)
    const identifier = thirdPartyIdentifier(medium, address)
    const idServer = server === undefined ? undefined : identityServerName(server)
    await limitIdentityRequests(c)
    if (identifier.medium === 'email') {
      await removeThreepid(c.env, session.userId, 'email', identifier.address)
      const { address } = identifier
      await hubStub(c.env, session.shard).dropEmailPushers(session.userId, { address })
    }
    // It is gone from here, whatever the identity server says.
    const { result } = await unbindForUser(c.env, session.userId, identifier, idServer)
    return c.json({ id_server_unbind_result: result })
  })
}

function notValidated(): MatrixError {
  return new MatrixError('M_THREEPID_AUTH_FAILED', 403, 'The address was not validated in this session')
}
