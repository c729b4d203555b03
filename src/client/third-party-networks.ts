// Specification: client-server API, "Third-party Networks". They are reached through application services; without any,
// there are no protocols, and nothing is found.

import { allProtocols, protocolMetadata } from '../appservice/protocols.ts'
import { lookUpByFields, lookUpById } from '../appservice/third-party-lookup.ts'
import { MatrixError } from '../errors.ts'
import type { App, AppContext } from '../http/app-type.ts'
import { rateLimitUser } from '../http/rate-limit.ts'
import { requireSession } from '../http/session.ts'
import type { JsonObject } from '../matrix/json.ts'
import { textParam } from './path-params.ts'

/** GET /thirdparty/…. */
export function thirdPartyNetworkRoutes(app: App): void {
  const base = '/_matrix/client/v3/thirdparty'

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyprotocols
  app.get(`${base}/protocols`, requireSession(), async (c) => c.json(await allProtocols(c.env)))

  // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyprotocolprotocol
  app.get(`${base}/protocol/:protocol`, requireSession(), async (c) => {
    const metadata = await protocolMetadata(c.env, textParam(c, 'protocol'))
    if (!metadata) throw new MatrixError('M_NOT_FOUND', 404, 'No such protocol')
    return c.json(metadata)
  })

  for (const looked of ['location', 'user'] as const) {
    // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartylocationprotocol
    // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyuserprotocol
    app.get(`${base}/${looked}/:protocol`, requireSession(), async (c) => {
      await limited(c)
      return c.json(found(await lookUpByFields(c.env, looked, textParam(c, 'protocol'), fieldsOf(c))))
    })

    // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartylocation
    // https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3thirdpartyuser
    app.get(`${base}/${looked}`, requireSession(), async (c) => {
      const parameter = looked === 'location' ? 'alias' : 'userid'
      const id = c.req.query(parameter)
      if (id === undefined) throw new MatrixError('M_MISSING_PARAM', 400, `Missing parameter: ${parameter}`)
      await limited(c)
      return c.json(found(await lookUpById(c.env, looked, id)))
    })
  }
}

// Each question is a request to every application service that may have an answer.
async function limited(c: AppContext): Promise<void> {
  await rateLimitUser(c.env, c.env.SEND_LIMIT, c.var.session)
}

/** The query as the client has it, but for what says who asks. */
function fieldsOf(c: AppContext): URLSearchParams {
  const fields = new URLSearchParams(new URL(c.req.url).search)
  fields.delete('access_token')
  // By these an application service says whom it acts for.
  if (c.var.session.appservice) {
    for (const name of ['user_id', 'device_id', 'org.matrix.msc3202.device_id']) fields.delete(name)
  }
  return fields
}

function found(results: JsonObject[]): JsonObject[] {
  if (results.length > 0) return results
  throw new MatrixError('M_NOT_FOUND', 404, 'Nothing on a third-party network')
}
