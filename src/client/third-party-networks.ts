// Specification: client-server API, "Third-party Networks". They are reached through application services; without any,
// there are no protocols, and nothing is found.

import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { requireSession } from '../http/session.ts'

/** GET /thirdparty/…. */
export function thirdPartyNetworkRoutes(app: App): void {
  const base = '/_matrix/client/v3/thirdparty'

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyprotocols
  app.get(`${base}/protocols`, requireSession(), (c) => c.json({}))

  for (const rest of ['protocol/:protocol', 'location/:protocol', 'user/:protocol']) {
    app.get(`${base}/${rest}`, requireSession(), () => {
      throw new MatrixError('M_NOT_FOUND', 404, 'No such protocol')
    })
  }

  for (const [rest, parameter] of [['location', 'alias'] as const, ['user', 'userid'] as const]) {
    app.get(`${base}/${rest}`, requireSession(), (c) => {
      if (c.req.query(parameter) === undefined) {
        throw new MatrixError('M_MISSING_PARAM', 400, `Missing parameter: ${parameter}`)
      }
      throw new MatrixError('M_NOT_FOUND', 404, 'Nothing on a third-party network')
    })
  }
}
