// Specification: application service API, "Client-Server API Extensions", "Published room directories".

import * as v from 'valibot'
import { requireAppservice } from '../appservice/require-appservice.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { jsonBody } from '../http/json-body.ts'
import { publishInNetwork, withdrawFromNetwork } from '../storage/appservice-directory.ts'
import { roomParam } from './own-user.ts'
import { textParam } from './path-params.ts'

// In bytes.
const longestNetwork = 255
const body = v.looseObject({ visibility: v.picklist(['public', 'private']) })

/** PUT /directory/list/appservice/{networkId}/{roomId}. */
export function appserviceDirectoryRoutes(app: App): void {
  // https://spec.matrix.org/v1.19/application-service-api/#put_matrixclientv3directorylistappservicenetworkidroomid
  app.put('/_matrix/client/v3/directory/list/appservice/:networkId/:roomId', async (c) => {
    const { id: appservice } = await requireAppservice(c)
    const room = { appservice, network: networkParam(c), roomId: roomParam(c) }
    const { visibility } = await jsonBody(c, body)
    await (visibility === 'public' ? publishInNetwork : withdrawFromNetwork)(c.env, room)
    return c.json({})
  })
}

function networkParam(c: AppContext): string {
  const network = textParam(c, 'networkId')
  if (network !== '' && Buffer.byteLength(network) <= longestNetwork) return network
  throw new MatrixError('M_INVALID_PARAM', 400, 'Invalid parameter networkId: empty or too long')
}
