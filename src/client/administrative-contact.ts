// Third-party identifiers: accounts have none, and none can be added (capability `m.3pid_changes`).
// Specification: client-server API, "Adding Account Administrative Contact Information".

import * as v from 'valibot'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'

const identifier = v.object({ medium: v.string(), address: v.string() })

/** The endpoints under /account/3pid, and those that would send validation tokens. */
export function administrativeContactRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3account3pid
  app.get('/_matrix/client/v3/account/3pid', requireSession(), (c) => c.json({ threepids: [] }))

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3piddelete
  app.post('/_matrix/client/v3/account/3pid/delete', requireSession(), async (c) => {
    await jsonBody(c, identifier)
    return c.json({ id_server_unbind_result: 'no-support' })
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidadd
  app.post('/_matrix/client/v3/account/3pid/add', requireSession(), refuse)
  app.post('/_matrix/client/v3/account/3pid', requireSession(), refuse)

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3registeremailrequesttoken
  app.post('/_matrix/client/v3/register/email/requestToken', refuse)
  app.post('/_matrix/client/v3/register/msisdn/requestToken', refuse)
  app.post('/_matrix/client/v3/account/password/email/requestToken', refuse)
  app.post('/_matrix/client/v3/account/password/msisdn/requestToken', refuse)
  app.post('/_matrix/client/v3/account/3pid/email/requestToken', refuse)
  app.post('/_matrix/client/v3/account/3pid/msisdn/requestToken', refuse)
}

function refuse(): never {
  throw new MatrixError('M_THREEPID_DENIED', 403, 'This server keeps no email addresses and phone numbers')
}
