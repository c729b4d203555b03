// Specification: application service API, "Client-Server API Extensions", "Pinging".

import * as v from 'valibot'
import { pingAppservice } from '../appservice/ping.ts'
import { requireAppservice } from '../appservice/require-appservice.ts'
import { appserviceSenderStub } from '../env.ts'
import { MatrixError } from '../errors.ts'
import type { App } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { textParam } from './path-params.ts'

const body = v.looseObject({ transaction_id: v.optional(v.string()) })

/** POST /appservice/{appserviceId}/ping. */
export function appservicePingRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/application-service-api/#post_matrixclientv1appserviceappserviceidping
  app.post('/_matrix/client/v1/appservice/:appserviceId/ping', async (c) => {
    const appservice = await requireAppservice(c)
    // "the appservice ID in the path must be the same as the appservice whose as_token is being used"
    if (textParam(c, 'appserviceId') !== appservice.id) {
      throw new MatrixError('M_FORBIDDEN', 403, 'The access token is that of another application service')
    }
    const { transaction_id: transactionId } = await jsonBody(c, body)
    const duration = await pingAppservice(appservice, transactionId)
    // What waits for it while it was away is sent at once.
    await appserviceSenderStub(c.env, appservice.id).wake()
    return c.json({ duration_ms: duration })
  })
}
