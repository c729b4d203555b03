// Third-party identifiers that users bind at identity servers, and unbind.
// Specification: client-server API, "Adding Account Administrative Contact Information".

import * as v from 'valibot'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { requireSession } from '../http/session.ts'

const identifier = v.object({ medium: v.string(), address: v.string() })

/** POST /account/3pid/bind, /account/3pid/unbind. */
export function identityBindingRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidbind
  app.post('/_matrix/client/v3/account/3pid/bind', requireSession(), () => {
    throw new MatrixError('M_THREEPID_DENIED', 403, 'This server keeps no email addresses and phone numbers')
  })

  // https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidunbind
  app.post('/_matrix/client/v3/account/3pid/unbind', requireSession(), async (c) => {
    await jsonBody(c, identifier)
    return c.json({ id_server_unbind_result: 'no-support' })
  })
}
